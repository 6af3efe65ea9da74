/** Names: those that look alike get numbers, so that people can tell who is who. */

import { CONFUSABLES } from "./confusables.js";

/** @import { Participant } from "./client/roomd.js" */

/** Words of the page's own, which stand where names do. */
const RESERVED = ["Everyone", "You"];

/** The prototype of each character that looks like another. @type {Map<string, string>} */
const PROTOTYPES = new Map();
for (const group of CONFUSABLES.trim().split(/\s+/u)) {
  const [prototype = "", steps = ""] = group.split(":");
  const text = String.fromCodePoint(...prototype.split("+").map((digits) => parseInt(digits, 36)));
  let point = 0;
  for (const step of steps.split(",")) PROTOTYPES.set(String.fromCodePoint((point += parseInt(step, 36))), text);
}

/**
 * Return the skeleton of a text: texts with equal skeletons look alike (UTS #39, section 4). White space counts as one space.
 * @param {string} text
 */
export function skeleton(text) {
  const seen = text.normalize("NFD").replace(/\p{Default_Ignorable_Code_Point}/gu, "");
  return [...seen].map((char) => PROTOTYPES.get(char) ?? char).join("").normalize("NFD").replace(/\s+/gu, " ").trim();
}

/** Tells people whose names look alike apart: a second Sam is "Sam (2)", and stays so when the first has left. */
export class Names {
  constructor() {
    /** What each person is called, and how that looks. @type {Map<string, {name: string, label: string, look: string}>} */
    this._labels = new Map();
  }

  /**
   * Number those who have joined, and forget those who have left.
   * @param {ReadonlyMap<string, Participant>} people
   */
  update(people) {
    for (const [id, { name }] of this._labels) if (people.get(id)?.displayName !== name) this._labels.delete(id);
    const taken = new Set([...RESERVED.map(skeleton), ...[...this._labels.values()].map(({ look }) => look)]);
    for (const { id, displayName } of people.values()) {
      if (this._labels.has(id)) continue;
      let label = displayName;
      for (let number = 2; taken.has(skeleton(label)); number += 1) label = `${displayName} (${number})`;
      const look = skeleton(label);
      taken.add(look);
      this._labels.set(id, { name: displayName, label, look });
    }
  }

  /** @param {Participant} person */
  of({ id, displayName }) {
    return this._labels.get(id)?.label ?? displayName;
  }
}
