/** The conversations of `clients/vectors/comeback.json`, which the Python client has too. The README there has the format. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { ROOM } from "./support/frames.js";
import { Stage } from "./support/stage.js";
import { expander, load } from "./support/vectors.js";

/** @import { Frame } from "../src/roomd.js" */

const view = load("view");
const comeback = load("comeback");
const expand = expander({ ...view.objects, ...comeback.objects });

/** One client and its server. */
class Conversation {
  /** @type {Map<string, string>} */
  kept = new Map();
  /** @type {Map<string, string>} What became of messages, by `clientId`. */
  said = new Map();
  /** @type {string | null} Why the join failed. */
  failure = null;
  opened = 0;

  /** @param {any} vector */
  constructor({ token, takeOver, kept }) {
    this.takeOver = takeOver;
    if (kept) this.kept.set(`roomd:${ROOM.code}`, JSON.stringify(kept));
    this.stage = new Stage({
      token: token && comeback.tokens[token],
      guestName: token ? undefined : "Jane",
      locks: null,
      store: {
        get: (key) => this.kept.get(key),
        set: (key, value) => void this.kept.set(key, value),
        remove: (key) => void this.kept.delete(key),
      },
    });
  }

  get keptToken() {
    const [value] = this.kept.values();
    return value === undefined ? null : JSON.parse(value).resumeToken;
  }

  /** @param {any} step */
  async take(step) {
    if (step.do) this.do(step);
    if (step.opens) await this.open();
    if (step.sends) await this.answer(step);
    if (step.seated) await this.seat(step);
    if (step.unordered) await this.answerAll(step.unordered);
    if (step.frame) this.stage.socket.tell(expand(step.frame));
    if (step.closes) this.stage.socket.drop(step.closes);
    await settle();
    if (step.said) assert.equal(this.said.get(step.said), "accepted");
    if (step.unsaid) assert.equal(this.said.get(step.unsaid), "given up");
    if (step.raises) assert.equal(this.failure, step.raises);
    const { meeting } = this.stage;
    if (step.status) assert.equal(meeting.status, step.status);
    if (step.me) assert.equal(meeting.me?.id, step.me);
    if (step.over) assert.equal(this.stage.told.find(([type]) => type === "over")?.[1].code, step.over);
    if (step.kept !== undefined) assert.equal(this.keptToken, step.kept);
  }

  /** @param {any} step */
  do({ do: what, text, clientId, seconds }) {
    const { meeting } = this.stage;
    if (what === "join") meeting.join({ takeOver: this.takeOver }).catch(({ code }) => (this.failure = code));
    else if (what === "leave") void meeting.leave();
    else if (what === "hold") void meeting.updateConnection({ hold: seconds });
    else
      meeting.say(text, null, { clientId }).then(
        () => this.said.set(clientId, "accepted"),
        () => this.said.set(clientId, "given up"),
      );
  }

  async open() {
    for (let tries = 0; this.stage.sockets.length === this.opened; tries++) {
      assert.ok(tries < 200, "no connection is made");
      await settle();
      if (this.stage.sockets.length === this.opened) await this.stage.clock.pass(0.5);
    }
    this.opened += 1;
    this.stage.socket.open();
    await settle();
  }

  /** @param {any} step */
  async answer({ sends, reply }) {
    await settle();
    const request = this.stage.socket.heard(sends.type);
    this.compare(request, sends);
    this.reply(request, reply);
  }

  /** @param {any[]} steps */
  async answerAll(steps) {
    await settle();
    const left = [...steps];
    while (left.length > 0) {
      const at = left.findIndex(({ sends }) => sends.type === this.stage.socket.sent[0]?.type);
      assert.notEqual(at, -1, JSON.stringify(this.stage.socket.sent));
      await this.answer(left.splice(at, 1)[0]);
    }
  }

  /** @param {any} step */
  async seat({ seated, resumeToken }) {
    await settle();
    if (this.stage.socket.sent[0]?.type === "authenticate")
      this.reply(this.stage.socket.heard("authenticate"), { type: "authenticated", userId: seated, expiresAt: "" });
    this.reply(this.stage.socket.heard("join-room"), { seat: seated, resumeToken });
  }

  /** @param {Frame} request @param {any} reply */
  reply({ id }, reply) {
    if (reply === undefined) return;
    const { seat, resumeToken } = reply;
    if (seat === undefined) return this.stage.socket.tell({ id, ...expand(reply) });
    const participant = expand({ use: seat });
    const state = { ...expand({ use: "state" }), participants: [participant] };
    this.stage.socket.tell({ type: "participant", id, participant, resumeToken }, state);
  }

  /** @param {Frame} request @param {Record<string, unknown>} sends */
  compare(request, { token, ...sends }) {
    const expected = { ...sends, ...(token ? { token: comeback.tokens[/** @type {string} */ (token)] } : {}) };
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(request[key] ?? null, value, key);
  }
}

for (const vector of comeback.vectors)
  test(vector.what, async () => {
    const conversation = new Conversation(vector);
    for (const step of vector.steps) {
      try {
        await conversation.take(step);
      } catch (error) {
        throw new Error(`after ${JSON.stringify(step)}`, { cause: error });
      }
    }
    if (conversation.stage.meeting.status !== "over") assert.deepEqual(conversation.stage.socket.sent, []);
  });
