/** The chat: the messages, and the form that writes one. */

import { bdi, find, make, reconcile } from "./dom.js";
import { nameBox, showName } from "./people.js";
import { splitLinks } from "./urls.js";
import { refusal } from "./words.js";

/** @import { Meeting, Message, Participant } from "./client/roomd.js" */
/** @import { Names } from "./names.js" */

/** Characters of a message, counted as the server does. */
const LONGEST = 2000;
/** The key code of a key press that an input method uses, also where the event says that no composition is under way. */
const BY_INPUT_METHOD = 229;

/**
 * A message that has no answer, or was refused. One that is sent again keeps its `clientId`, so that it is told once.
 *
 * @typedef {object} Unsent
 * @property {string} clientId
 * @property {string} text
 * @property {string | undefined} to
 * @property {boolean} isSending
 */

export class Chat {
  /** @param {(text: string, to: string | undefined, clientId: string) => Promise<unknown>} send */
  constructor(send) {
    this._send = send;
    this._list = find("messages-list", HTMLElement);
    this._log = find("messages", HTMLElement);
    this._to = find("chat-to", HTMLSelectElement);
    this._groups = /** @type {const} */ ([
      [find("chat-to-users", HTMLOptGroupElement), (/** @type {Option} */ one) => one.isUser],
      [find("chat-to-guests", HTMLOptGroupElement), (/** @type {Option} */ one) => !one.isUser],
    ]);
    this._text = find("chat-text", HTMLTextAreaElement);
    this._error = find("chat-error", HTMLElement);
    /** @type {Unsent[]} */
    this._unsent = [];
    /**
     * Whom to write to; null: everyone. Kept here, as a select that loses its choice makes another.
     * @type {{id: string, name: string, isUser: boolean} | null}
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
      const [option] = selectedOptions;
      const isUser = option?.parentElement === this._groups[0][0];
      this._addressee = id ? { id, name: option?.text ?? "", isUser } : null;
      this._isGone = false;
      this._error.textContent = "";
    });
    this._text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === BY_INPUT_METHOD) return;
      event.preventDefault();
      form.requestSubmit();
    });
  }

  /** Forget the last meeting. */
  reset() {
    this._list.replaceChildren();
    this._text.value = this._error.textContent = "";
    this._unsent = [];
    this._addressee = null;
    this._isGone = false;
    this._read.clear();
    this._fresh = true;
  }

  focus() {
    this._text.focus();
    this._log.scrollTop = this._log.scrollHeight;
  }

  /**
   * @param {Meeting} meeting
   * @param {Participant} me
   * @param {Names} names
   * @param {boolean} open whether the panel is on the screen
   * @returns {number} how many messages of others were not read yet
   */
  render(meeting, me, names, open) {
    const atEnd = this._log.scrollHeight - this._log.scrollTop - this._log.clientHeight < 60;
    this._showAddressees(meeting.participants, me, names);
    reconcile(this._list, meeting.messages, {
      key: (message) => message.id,
      create: (message) => show(message, meeting, me, names),
    });
    if (atEnd) this._log.scrollTop = this._log.scrollHeight;
    for (const { participantId, clientId } of meeting.messages) if (participantId === me.id) this._arrived(clientId);
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
    /** @type {Option[]} */
    const options = [
      ...(to && this._isGone ? [{ id: to.id, words: `${to.name} (left)`, isUser: to.isUser, isGone: true }] : []),
      ...others.map((person) => ({ id: person.id, words: names.of(person), isUser: person.guestName === null, isGone: false })),
    ];
    for (const [group, belongs] of this._groups) {
      const mine = options.filter(belongs);
      group.hidden = mine.length === 0;
      reconcile(group, mine, {
        key: (one) => one.id,
        create: (one) => make("option", { value: one.id, dir: "auto" }),
        update: (option, { words, isGone }) => {
          if (option.textContent !== words) option.textContent = words;
          /** @type {HTMLOptionElement} */ (option).disabled = isGone;
        },
      });
    }
    this._to.value = to?.id ?? "";
  }

  async _submit() {
    const text = this._text.value.trim();
    const length = [...text].length;
    this._error.textContent = length > LONGEST ? `${LONGEST} characters at most; these are ${length}.` : "";
    if (!text || length > LONGEST) return;
    const to = this._addressee;
    if (to && this._isGone) {
      this._error.textContent = `${to.name} has left. Choose whom to write to.`;
      return;
    }
    const known = this._unsent.find((one) => one.text === text && one.to === to?.id);
    if (known?.isSending) return;
    const message = known ?? { clientId: newId(), text, to: to?.id, isSending: true };
    message.isSending = true;
    if (!known) this._unsent.push(message);
    try {
      await this._send(text, to?.id, message.clientId);
      this._arrived(message.clientId);
    } catch (error) {
      message.isSending = false;
      if (this._unsent.includes(message)) this._error.textContent = refusal(error);
    }
  }

  /**
   * Note that a message is kept by the server: what is left of it in the form goes.
   * @param {string | null | undefined} clientId
   */
  _arrived(clientId) {
    const message = this._unsent.find((one) => one.clientId === clientId);
    if (!message) return;
    this._unsent = this._unsent.filter((one) => one !== message);
    if (this._text.value.trim() !== message.text) return;
    this._text.value = this._error.textContent = "";
  }
}

/** @typedef {{id: string, words: string, isUser: boolean, isGone: boolean}} Option one to whom one can write */

function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}

/**
 * @param {Message} message
 * @param {Meeting} meeting
 * @param {Participant} me
 * @param {Names} names
 */
function show(message, meeting, me, names) {
  const mine = message.participantId === me.id;
  const sender = message.participantId === null ? undefined : meeting.participants.get(message.participantId);
  const clock = new Date(message.sentAt).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const time = make("time", { dateTime: message.sentAt }, clock);
  const name = nameBox();
  const head = make("div", { className: "head" }, name, time);
  showName(head, mine ? "You" : sender ? names.of(sender) : message.displayName, !mine && sender?.guestName === null);
  if (message.participantId === null) head.append(make("i", {}, "from the service"));
  if (message.to) {
    const to = meeting.participants.get(message.to);
    const whom = to ? ["only to ", bdi(names.of(to))] : ["only to someone who left"];
    head.append(make("i", {}, ...(mine ? whom : ["only to you"])));
  }
  const text = make("p", { dir: "auto" });
  for (const part of splitLinks(message.text)) {
    const link = part.href && make("a", { href: part.href, target: "_blank", rel: "noopener noreferrer" }, part.text);
    text.append(link || part.text);
  }
  return make("li", { className: mine ? "mine" : "" }, head, text);
}
