/** The panels beside the tiles: who is here and who waits, with what a host can do about it; and the chat. */

import { find, icon, make, reconcile } from "./dom.js";
import { refusal } from "./words.js";

/** @import { Meeting, Message, Participant, Waiting } from "./roomd.js" */

/** Characters of a message, counted as the server does. */
const LONGEST = 2000;

/**
 * @typedef {object} HostActions what buttons ask for
 * @property {(change: {isLocked?: boolean, waitingRoom?: boolean}) => Promise<boolean>} updateRoom
 * @property {(id: string) => void} admit
 * @property {(id: string) => void} deny
 * @property {() => void} admitAll
 * @property {(person: Participant) => void} mute
 * @property {(person: Participant) => void} remove
 */

/** The list of people; for hosts, the lobby and the room's switches. */
export class People {
  /** @param {HostActions} actions */
  constructor(actions) {
    this._actions = actions;
    this._list = find("people-list", HTMLElement);
    this._lobby = find("lobby-list", HTMLElement);
    this._switches = /** @type {const} */ ([
      [find("lock", HTMLInputElement), "isLocked"],
      [find("waiting-room", HTMLInputElement), "waitingRoom"],
    ]);
    for (const [input, key] of this._switches) {
      input.addEventListener("change", async () => {
        const wanted = input.checked;
        input.disabled = true;
        const done = await actions.updateRoom({ [key]: wanted });
        input.disabled = false;
        if (!done) input.checked = !wanted;
        input.focus();
      });
    }
    find("admit-all", HTMLElement).addEventListener("click", () => actions.admitAll());
  }

  /**
   * @param {Meeting} meeting
   * @param {Participant} me
   */
  render(meeting, me) {
    find("controls", HTMLElement).hidden = !me.isHost;
    for (const [input, key] of this._switches) if (!input.disabled) input.checked = meeting.room?.[key] ?? false;
    const lobby = me.isHost ? meeting.lobby : [];
    const asking = lobby.filter((one) => one.reason === "waiting_room");
    find("lobby", HTMLElement).hidden = lobby.length === 0;
    find("admit-all", HTMLElement).hidden = asking.length < 2;
    reconcile(this._lobby, lobby, {
      key: (one) => one.participantId,
      create: () => this._makeWaiting(),
      update: (row, one) => this._showWaiting(row, one),
    });
    reconcile(this._list, meeting.participants.values(), {
      key: (person) => person.id,
      create: (person) => this._makePerson(person, me),
      update: (row, person) => this._showPerson(row, person, me),
    });
  }

  /** Rows are made once; what they do is looked up by the row's key. */
  _makeWaiting() {
    const row = make("li", {}, make("div", { className: "who" }, make("b"), make("small")));
    const deny = make("button", { type: "button", className: "button small" }, "Deny");
    const admit = make("button", { type: "button", className: "button small primary" }, "Admit");
    deny.addEventListener("click", () => this._actions.deny(row.dataset.key ?? ""));
    admit.addEventListener("click", () => this._actions.admit(row.dataset.key ?? ""));
    row.append(make("div", { className: "doing" }, deny, admit));
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {Waiting} one
   */
  _showWaiting(row, one) {
    const [deny, admit] = row.querySelectorAll("button");
    say(row, "b", one.displayName);
    const what = one.reason === "room_full" ? "waits for a seat" : one.userId === null ? "guest" : "member";
    say(row, "small", `${one.position}. ${what}${one.isActive ? "" : ", reconnecting"}`);
    if (admit) admit.hidden = one.reason === "room_full"; // what they wait for is not the host's to give
    admit?.setAttribute("aria-label", `Admit ${one.displayName}`);
    deny?.setAttribute("aria-label", `Deny ${one.displayName}`);
  }

  /**
   * @param {Participant} person
   * @param {Participant} me
   */
  _makePerson(person, me) {
    const state = make("div", { className: "state" });
    state.append(icon("hand", "has a hand raised"), icon("mic-off", "muted"));
    const row = make("li", {}, make("div", { className: "who" }, make("b"), make("small")), state);
    if (me.isHost && person.id !== me.id) {
      const mute = make("button", { type: "button", className: "button small ask-mute" }, "Mute");
      const remove = make("button", { type: "button", className: "button small" }, "Remove");
      mute.addEventListener("click", () => this._actions.mute(person));
      remove.addEventListener("click", () => this._actions.remove(person));
      mute.setAttribute("aria-label", `Ask ${person.displayName} to mute`);
      remove.setAttribute("aria-label", `Remove ${person.displayName}`);
      row.append(make("div", { className: "doing" }, mute, remove));
    }
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {Participant} person
   * @param {Participant} me
   */
  _showPerson(row, person, me) {
    say(row, "b", person.displayName);
    const kind = person.isHost ? "host" : person.userId === null ? "guest" : "member";
    const marks = [person.id === me.id ? "you" : "", kind, person.isActive ? "" : "reconnecting…"];
    say(row, "small", marks.filter(Boolean).join(", "));
    row.classList.toggle("away", !person.isActive);
    const [hand, muted] = row.querySelectorAll(".state svg");
    hand?.toggleAttribute("hidden", person.state?.handRaised !== true);
    muted?.toggleAttribute("hidden", person.state?.muted !== true);
    row.querySelector(".ask-mute")?.toggleAttribute("hidden", person.state?.muted !== false || !person.isActive);
  }
}

/** The messages and the form that writes one. */
export class Chat {
  /** @param {(text: string, to: string | undefined) => Promise<unknown>} send */
  constructor(send) {
    this._send = send;
    this._list = find("messages", HTMLElement);
    this._to = find("chat-to", HTMLSelectElement);
    this._text = find("chat-text", HTMLTextAreaElement);
    this._error = find("chat-error", HTMLElement);
    this._sending = false;
    /** @type {Set<string>} messages that were on the screen, or there before one came */
    this._read = new Set();
    this._fresh = true;
    const form = find("chat-form", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this._submit();
    });
    this._text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
  }

  /** Forget the last meeting. */
  reset() {
    this._list.replaceChildren();
    this._text.value = this._error.textContent = "";
    this._read.clear();
    this._fresh = true;
  }

  /** @param {string} id whom to write to, when they are still here */
  focus(id = "") {
    if (id) this._to.value = id;
    this._text.focus();
    this._list.scrollTop = this._list.scrollHeight;
  }

  /**
   * @param {Meeting} meeting
   * @param {Participant} me
   * @param {boolean} open whether the panel is on the screen
   * @returns {number} how many messages of others were not read yet
   */
  render(meeting, me, open) {
    const atEnd = this._list.scrollHeight - this._list.scrollTop - this._list.clientHeight < 60;
    const others = [...meeting.participants.values()].filter((person) => person.id !== me.id);
    const options = [{ id: "", displayName: "Everyone" }, ...others];
    reconcile(this._to, options, {
      key: (one) => one.id,
      create: (one) => make("option", { value: one.id }, one.displayName),
    });
    reconcile(this._list, meeting.messages, {
      key: (message) => message.id,
      create: (message) => show(message, meeting, me),
    });
    if (atEnd) this._list.scrollTop = this._list.scrollHeight;
    const isNews = (/** @type {Message} */ { id, participantId }) => participantId !== me.id && !this._read.has(id);
    const unread = meeting.messages.filter(isNews);
    if (!open && !this._fresh) return unread.length;
    for (const message of unread) this._read.add(message.id);
    this._fresh = false;
    return 0;
  }

  async _submit() {
    const text = this._text.value.trim();
    const length = [...text].length;
    this._error.textContent = length > LONGEST ? `${LONGEST} characters at most; these are ${length}.` : "";
    if (!text || length > LONGEST || this._sending) return;
    this._sending = true;
    try {
      await this._send(text, this._to.value || undefined);
      this._text.value = "";
    } catch (error) {
      this._error.textContent = refusal(error);
    } finally {
      this._sending = false;
    }
  }
}

/**
 * @param {Message} message
 * @param {Meeting} meeting
 * @param {Participant} me
 */
function show(message, meeting, me) {
  const mine = message.participantId === me.id;
  const clock = new Date(message.sentAt).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const time = make("time", { dateTime: message.sentAt }, clock);
  const head = make("div", { className: "head" }, make("b", {}, mine ? "You" : message.displayName), time);
  if (message.to) {
    const to = meeting.participants.get(message.to)?.displayName ?? "someone who left";
    head.append(make("i", {}, mine ? `only to ${to}` : "only to you"));
  }
  return make("li", { className: mine ? "mine" : "" }, head, make("p", {}, message.text));
}

/**
 * @param {Element} row
 * @param {string} selector
 * @param {string} words
 */
function say(row, selector, words) {
  const element = row.querySelector(selector);
  if (element && element.textContent !== words) element.textContent = words;
}
