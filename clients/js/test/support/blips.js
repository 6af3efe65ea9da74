/**
 * Five clients on a network that fails; tests/support/blips runs this. The first line of the input says where and how. Then
 * "quiet" ends the talking, "report" is answered with what each client saw, as a line of JSON, and "end" ends.
 */

import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Meeting, Refusal } from "../../src/roomd.js";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { url, code, secret, names, talk, speed } = JSON.parse((await lines.next()).value);
let isQuiet = false;

/** @param {string} sub @param {number} ttl Seconds. */
function sign(sub, ttl) {
  const part = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, exp: Math.floor(Date.now() / 1000) + ttl })}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

const clock = {
  now: () => performance.now() * speed,
  setTimeout: (/** @type {() => void} */ callback, /** @type {number} */ ms) => setTimeout(callback, ms / speed),
  clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
};

class Attendee {
  /** @type {string[]} */
  ids = [];
  /** @type {[string, string][]} */
  heard = [];
  /** @type {string[]} */
  said = [];
  unanswered = 0;

  /** @param {string} name @param {number} index */
  constructor(name, index) {
    this.name = name;
    // One is a guest, one has a token that expires soon, the others a function of such tokens.
    const fixed = sign(name, 3);
    const token = index === 0 ? undefined : index === 1 ? fixed : () => sign(name, 3);
    this.meeting = new Meeting(url, { code, guestName: name, token, clock });
    this.meeting.addEventListener("message", ({ detail }) => this.heard.push([detail.message.id, detail.message.text]));
    this.meeting.addEventListener("change", () => {
      const id = this.meeting.me?.id;
      if (id !== undefined && id !== this.ids.at(-1)) this.ids.push(id);
    });
  }

  async attend() {
    await this.meeting.join();
    this.heard.unshift(...this.meeting.messages.map(({ id, text }) => /** @type {[string, string]} */ ([id, text])));
  }

  async talk() {
    for (let number = 1; !isQuiet; number++) {
      void this.ask(() => this.say(`${this.name} ${number}`));
      void this.ask(() => this.meeting.updateState({ number }));
      void this.ask(() => this.meeting.iceServers());
      await sleep((500 + Math.random() * 1000) * talk);
    }
  }

  /** @param {string} text */
  async say(text) {
    while (this.meeting.status !== "over") {
      try {
        await this.meeting.say(text, null, { clientId: text.replaceAll(" ", "-") });
        this.said.push(text);
        return;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        await sleep(100);
      }
    }
  }

  /** @param {() => Promise<unknown>} action */
  async ask(action) {
    this.unanswered += 1;
    await action().catch(() => undefined);
    this.unanswered -= 1;
  }

  report() {
    const { name, ids, heard, said, unanswered, meeting } = this;
    return { name, ids, heard, said, unanswered, status: meeting.status };
  }
}

const attendees = names.map((/** @type {string} */ name, /** @type {number} */ index) => new Attendee(name, index));
await Promise.all(attendees.map((/** @type {Attendee} */ one) => one.attend()));
console.log("here");
await lines.next();
const talking = attendees.map((/** @type {Attendee} */ one) => one.talk());
for await (const line of lines) {
  if (line === "quiet") isQuiet = true;
  else if (line === "report") console.log(JSON.stringify(attendees.map((/** @type {Attendee} */ one) => one.report())));
  else break;
}
isQuiet = true;
await Promise.all(talking);
await Promise.all(attendees.map((/** @type {Attendee} */ one) => one.meeting.leave()));
process.exit(0);
