import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { person } from "../../clients/js/test/support/frames.js";
import { initials } from "../../roomd/page/dom.js";
import { Names, skeleton } from "../../roomd/page/names.js";

/** @type {{lookAlike: [string, string][]}} */
const { lookAlike } = JSON.parse(readFileSync(new URL("../cases/names.json", import.meta.url), "utf-8"));

/**
 * Return what people are called who come one after another.
 * @param {...string} names
 */
function called(...names) {
  const people = names.map((displayName, index) => person(String(index), { displayName }));
  const known = new Names();
  known.update(new Map(people.map((one) => [one.id, one])));
  return people.map((one) => known.of(one));
}

test("people of one name are told apart, and keep their number while they are here", () => {
  const names = new Names();
  const sam = (/** @type {string} */ id) => person(id, { displayName: "Sam" });
  const see = (/** @type {import("../../clients/js/src/roomd.js").Participant[]} */ ...people) => {
    names.update(new Map(people.map((one) => [one.id, one])));
    return people.map((one) => names.of(one));
  };
  assert.deepEqual(see(sam("a"), person("b"), sam("c")), ["Sam", "b", "Sam (2)"]);
  assert.deepEqual(see(sam("c"), person("b")), ["Sam (2)", "b"]);
  assert.deepEqual(see(sam("c"), sam("d")), ["Sam (2)", "Sam"]);
  assert.deepEqual(see(sam("e")), ["Sam"]);
});

test("names that look alike have numbers", () => {
  for (const [one, other] of lookAlike) assert.deepEqual(called(one, other), [one, `${other} (2)`]);
  const four = called("Jane", "Jane\u200b", "J\u0430ne", "Jane\ufe0f");
  assert.deepEqual(four, ["Jane", "Jane\u200b (2)", "J\u0430ne (3)", "Jane\ufe0f (4)"]);
  assert.deepEqual(called("Ill", "lll", "I11"), ["Ill", "lll (2)", "I11 (3)"]);
  assert.deepEqual(called("Jane  Doe", "Jane Doe"), ["Jane  Doe", "Jane Doe (2)"]);
});

test("a number is no way to look like another", () => {
  assert.deepEqual(called("Sam", "Sam (2)", "Sam"), ["Sam", "Sam (2)", "Sam (3)"]);
});

test("nobody is called as the page calls everyone, or oneself", () => {
  assert.deepEqual(called("Everyone", "\u0415veryone", "You"), ["Everyone (2)", "\u0415veryone (3)", "You (2)"]);
});

test("who changes the name is called by the new one", () => {
  const names = new Names();
  names.update(new Map([["a", person("a", { displayName: "Sam" })]]));
  const renamed = person("a", { displayName: "Pat" });
  names.update(new Map([["a", renamed]]));
  assert.equal(names.of(renamed), "Pat");
});

test("a skeleton is that of UTS #39", () => {
  assert.equal(skeleton("p\u0430yp\u0430l"), skeleton("paypal"));
  assert.equal(skeleton("rn"), skeleton("m"));
  assert.equal(skeleton("\u{1d4d9}ane"), skeleton("Jane"));
  assert.notEqual(skeleton("Jane"), skeleton("Jone"));
});

test("initials are letters as people see them", () => {
  assert.equal(initials("Jane van der Smith"), "JS");
  assert.equal(initials("🇩🇪 Team"), "🇩🇪T");
  assert.equal(initials("👨‍👩‍👧"), "👨‍👩‍👧");
  assert.equal(initials("e\u0301mile"), "E\u0301");
  assert.equal(initials(""), "");
});
