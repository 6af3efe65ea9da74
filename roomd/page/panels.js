/** The panels beside the tiles: the people, with those who wait and what a host can do; and the chat. */

import { find, icon, make, reconcile } from "./dom.js";
import { refusal } from "./words.js";

/** @import { Meeting, Message, Participant, Waiting } from "./client/roomd.js" */
/** @import { Names } from "./words.js" */

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
   * @param {Names} names
   */
  render(meeting, me, names) {
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
      update: (row, person) => this._showPerson(row, person, me, names.of(person)),
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
    if (admit) admit.hidden = one.reason === "room_full"; // a host cannot give them a seat
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
      const mute = make("button", { type: "button", className: "button small" }, "Mute");
      const remove = make("button", { type: "button", className: "button small" }, "Remove");
      mute.addEventListener("click", () => this._actions.mute(person));
      remove.addEventListener("click", () => this._actions.remove(person));
      row.append(make("div", { className: "doing" }, mute, remove));
    }
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {Participant} person
   * @param {Participant} me
   * @param {string} name
   */
  _showPerson(row, person, me, name) {
    say(row, "b", name);
    const [mute, remove] = row.querySelectorAll(".doing button");
    mute?.setAttribute("aria-label", `Ask ${name} to mute`);
    remove?.setAttribute("aria-label", `Remove ${name}`);
    const kind = person.isHost ? "host" : person.userId === null ? "guest" : "member";
    const marks = [person.id === me.id ? "you" : "", kind, person.isActive ? "" : "reconnecting…"];
    say(row, "small", marks.filter(Boolean).join(", "));
    row.classList.toggle("away", !person.isActive);
    const [hand, muted] = row.querySelectorAll(".state svg");
    hand?.toggleAttribute("hidden", person.state?.handRaised !== true);
    muted?.toggleAttribute("hidden", person.state?.muted !== true);
    mute?.toggleAttribute("hidden", person.state?.muted !== false || !person.isActive);
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
    /**
     * Whom to write to; null: everyone. Kept here, as a select that loses its choice makes another.
     * @type {{id: string, name: string} | null}
     */
    this._addressee = null;
    this._isGone = false;
    /** @type {Set<string>} messages that were on the screen, or there before one came */
    this._read = new Set();
    this._fresh = true;
    const form = find("chat-form", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this._submit();
    });
    this._to.addEventListener("change", () => {
      const { value: id, selectedOptions } = this._to;
      this._addressee = id ? { id, name: selectedOptions[0]?.text ?? "" } : null;
      this._isGone = false;
      this._error.textContent = "";
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
    this._addressee = null;
    this._isGone = false;
    this._read.clear();
    this._fresh = true;
  }

  focus() {
    this._text.focus();
    this._list.scrollTop = this._list.scrollHeight;
  }

  /**
   * @param {Meeting} meeting
   * @param {Participant} me
   * @param {Names} names
   * @param {boolean} open whether the panel is on the screen
   * @returns {number} how many messages of others were not read yet
   */
  render(meeting, me, names, open) {
    const atEnd = this._list.scrollHeight - this._list.scrollTop - this._list.clientHeight < 60;
    this._showAddressees(meeting.participants, me, names);
    reconcile(this._list, meeting.messages, {
      key: (message) => message.id,
      create: (message) => show(message, meeting, me, names),
    });
    if (atEnd) this._list.scrollTop = this._list.scrollHeight;
    const isNews = (/** @type {Message} */ { id, participantId }) => participantId !== me.id && !this._read.has(id);
    const unread = meeting.messages.filter(isNews);
    if (!open && !this._fresh) return unread.length;
    for (const message of unread) this._read.add(message.id);
    this._fresh = false;
    return 0;
  }

  /**
   * Show to whom one can write. An addressee who has left stays chosen until another one is: a message for one person
   * must not go to everyone.
   * @param {Map<string, Participant>} people
   * @param {Participant} me
   * @param {Names} names
   */
  _showAddressees(people, me, names) {
    const to = this._addressee;
    this._isGone = to !== null && !people.has(to.id);
    const others = [...people.values()].filter((person) => person.id !== me.id);
    const options = [
      { id: "", words: "Everyone" },
      ...(to && this._isGone ? [{ id: to.id, words: `${to.name} (left)`, gone: true }] : []),
      ...others.map((person) => ({ id: person.id, words: names.of(person), gone: false })),
    ];
    reconcile(this._to, options, {
      key: (one) => one.id,
      create: (one) => make("option", { value: one.id }),
      update: (option, { words, gone = false }) => {
        if (option.textContent !== words) option.textContent = words;
        /** @type {HTMLOptionElement} */ (option).disabled = gone;
      },
    });
    this._to.value = to?.id ?? "";
  }

  async _submit() {
    const text = this._text.value.trim();
    const length = [...text].length;
    this._error.textContent = length > LONGEST ? `${LONGEST} characters at most; these are ${length}.` : "";
    if (!text || length > LONGEST || this._sending) return;
    const to = this._addressee;
    if (to && this._isGone) {
      this._error.textContent = `${to.name} has left. Choose whom to write to.`;
      return;
    }
    this._sending = true;
    try {
      await this._send(text, to?.id);
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
 * @param {Names} names
 */
function show(message, meeting, me, names) {
  const mine = message.participantId === me.id;
  const sender = meeting.participants.get(message.participantId);
  const name = sender ? names.of(sender) : message.displayName;
  const clock = new Date(message.sentAt).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const time = make("time", { dateTime: message.sentAt }, clock);
  const head = make("div", { className: "head" }, make("b", {}, mine ? "You" : name), time);
  if (message.to) {
    const to = meeting.participants.get(message.to);
    head.append(make("i", {}, mine ? `only to ${to ? names.of(to) : "someone who left"}` : "only to you"));
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
