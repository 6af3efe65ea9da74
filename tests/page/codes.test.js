import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseLink, readTyped, ticketIn } from "../../roomd/page/codes.js";

/** @type {Record<string, string[]>} */
const { none = [], ...found } = JSON.parse(readFileSync(new URL("../cases/codes.json", import.meta.url), "utf-8"));

test("a code is found in every spelling, and in a link", () => {
  const all = Object.values(found).flat();
  assert.ok(all.length > 10);
  for (const typed of [...all, "meet.example/#abc-def-ghi", "https://meet.example/meet/?room=abc-def-ghi"])
    assert.equal(readTyped(typed).code, "abc-def-ghi", typed);
});

test("a code has three to five groups", () => {
  assert.equal(readTyped("ABC DEF GHI JKL").code, "abc-def-ghi-jkl");
  assert.equal(readTyped("https://meet.example/#abc-def-ghi-jkl-mno").code, "abc-def-ghi-jkl-mno");
});

test("what is no code is none", () => {
  for (const typed of [...none, "https://meet.example/", "https://meet.example/#", "abc-def-ghi-jkl-mno-pqr"])
    assert.equal(readTyped(typed).code, null, typed);
});

test("a link has a token besides the code", () => {
  assert.deepEqual(parseLink("https://meet.example/#code=abc-def-ghi&token=a.b.c"), { code: "abc-def-ghi", token: "a.b.c" });
  assert.deepEqual(parseLink("https://meet.example/#code%3Dabc-def-ghi%26token%3Dx"), { code: "abc-def-ghi", token: "x" });
  assert.deepEqual(parseLink("https://meet.example/?room=abc-def-ghi#"), { code: "abc-def-ghi", token: "" });
  assert.deepEqual(parseLink("https://meet.example/#%"), { code: "%", token: "" });
});

test("a link has a ticket in place of a token", () => {
  assert.equal(ticketIn("https://meet.example/#code=abc-def-ghi&ticket=a.b.c"), "a.b.c");
  assert.equal(ticketIn("https://meet.example/#ticket=a.b.c"), "a.b.c");
  for (const other of ["https://meet.example/#abc-def-ghi", "https://meet.example/?ticket=a.b.c", ""]) assert.equal(ticketIn(other), "");
});
