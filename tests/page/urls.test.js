import assert from "node:assert/strict";
import { test } from "node:test";
import { splitLinks } from "../../roomd/page/urls.js";

const linksIn = (/** @type {string} */ text) => splitLinks(text).flatMap(({ href }) => href ?? []);

test("http and https addresses are links, and nothing else is", () => {
  assert.deepEqual(linksIn("See https://a.example/b?c=d#e and HTTP://B.example"), ["https://a.example/b?c=d#e", "HTTP://B.example"]);
  for (const text of ["javascript:alert(1)", "ftp://a.example", "www.a.example", "data:text/html,x", "xhttps://a.example", "https://"])
    assert.deepEqual(linksIn(text), [], text);
});

test("the punctuation of the sentence is no part of an address", () => {
  assert.deepEqual(linksIn("Look (https://a.example/b), or https://a.example/c!"), ["https://a.example/b", "https://a.example/c"]);
  assert.deepEqual(linksIn("https://a.example/B_(c)."), ["https://a.example/B_(c)"]);
  assert.deepEqual(linksIn('<https://a.example> "https://b.example"'), ["https://a.example", "https://b.example"]);
  assert.deepEqual(linksIn("https://a.example/\u202egpj.exe"), ["https://a.example/"]);
});

test("the parts are the whole text", () => {
  for (const text of ["", "no link", "https://a.example", "a https://a.example, b\nhttps://b.example. c"])
    assert.equal(splitLinks(text).map((part) => part.text).join(""), text);
});
