/** The entrance: the form with name, code and token, filled in by links, and the preview of camera and microphone. */

import { fold, parseLink, readTyped, ticketIn } from "./codes.js";
import { Refusal } from "./client/roomd.js";
import { find, initials } from "./dom.js";
import { local, session } from "./storage.js";
import { FIELDS, asking, preview } from "./words.js";

/** @import { Media } from "./media.js" */

/** @typedef {"name" | "code" | "token"} FieldName */
/** @typedef {{code: string, name: string, token: string}} Credentials `token` is empty for guests */

const NAME_KEY = "roomd.name";
const TOKEN_KEY = "roomd.token"; // with the room's code behind it
/** Refusals after which a ticket is of no use. */
const USED = ["invalid_token", "token_expired"];
const USED_LINK = "This link cannot be used again, or it is too old. Ask for a new one.";
const TRY_AGAIN = "The server cannot be reached. Press Join to try again.";
const NEEDS_CODE = "A room code has nine letters or more, like abc-def-ghi.";

export class Entrance {
  /**
   * @param {Media} media
   * @param {(who: Credentials) => void} onJoin called with what the form says, once it can be right
   * @param {(ticket: string) => Promise<string>} exchange gets the token for a ticket
   */
  constructor(media, onJoin, exchange) {
    this._media = media;
    this._exchange = exchange;
    /** @type {{code: string, ticket: string} | null} of the link, until it is exchanged or refused */
    this._ticket = null;
    this._fields = {
      name: find("name", HTMLInputElement),
      code: find("code", HTMLInputElement),
      token: find("token", HTMLInputElement),
    };
    this._button = find("join", HTMLButtonElement);
    this._host = find("host", HTMLDetailsElement);
    find("join-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this._submit(onJoin);
    });
    this._fields.token.addEventListener("input", () => this._showNameField());
    this._fields.name.addEventListener("input", () => this.showPreview());
    this._fields.name.value = local.get(NAME_KEY) ?? "";
    this.showPreview();
  }

  /**
   * Fill in the form from the address: `#abc-def-ghi`, `#code=…&token=…` or `?room=…`. A token is removed from it, and kept
   * in the tab. So is a ticket (`#code=…&ticket=…`), which is exchanged for a token.
   */
  readLink() {
    const [given, ticket] = [parseLink(location.href), ticketIn(location.href)];
    const code = fold(given.code) ?? given.code;
    if (code) this._fields.code.value = code;
    if (given.token) rememberToken(code, given.token);
    if (given.token || ticket) {
      history.replaceState(null, "", link(code)); // keep it out of the history and of screenshots
    }
    this._showToken(recallToken(code));
    this._ticket = ticket ? { code, ticket } : null;
    void this._useTicket();
  }

  /** What the form says; the name and the token may be empty. @returns {Credentials} */
  get credentials() {
    const { name, code, token } = this._fields;
    return { code: readTyped(code.value).code ?? "", name: name.value.trim(), token: token.value.trim() };
  }

  /** Focus the first empty field, or the button, and ask for the devices. */
  enter() {
    const fields = /** @type {FieldName[]} */ (["name", "code"]).filter((name) => !this._box(name).hidden);
    const empty = fields.find((name) => !this._fields[name].value);
    (empty ? this._fields[empty] : this._button).focus();
    void this._media.open();
  }

  /** @param {boolean} busy whether a join is under way */
  setBusy(busy) {
    this._button.disabled = busy;
    this._button.textContent = busy ? "Joining…" : "Join";
  }

  /**
   * Show beside a field what is wrong with it; without words, that nothing is.
   * @param {FieldName} name
   * @param {string} words
   */
  complain(name, words) {
    find(`${name}-error`, HTMLElement).textContent = words;
    this._fields[name].setAttribute("aria-invalid", String(words !== ""));
    if (!words) return;
    if (name === "token") this._host.open = true;
    this._fields[name].focus();
  }

  showPreview() {
    const { _media: media } = this;
    const video = find("preview-video", HTMLVideoElement);
    const track = media.cameraOn ? media.video : null;
    const shown = /** @type {MediaStream | null} */ (video.srcObject)?.getTracks()[0] ?? null;
    if (shown !== track) video.srcObject = track && new MediaStream([track]);
    video.hidden = !track;
    find("preview-avatar", HTMLElement).hidden = track !== null;
    find("preview-initials", HTMLElement).textContent = initials(this._fields.name.value) || "?";
    const asked = [...media.asked];
    this.say(asked.length ? asking(asked) : preview(media.trouble, media.audio !== null, media.cameraOn));
    find("preview-mic", HTMLElement).setAttribute("aria-pressed", String(!media.muted));
    find("preview-camera", HTMLElement).setAttribute("aria-pressed", String(media.cameraOn));
  }

  /** @param {string} words about the devices */
  say(words) {
    find("preview-note", HTMLElement).textContent = words;
  }

  /** @param {(who: Credentials) => void} onJoin */
  async _submit(onJoin) {
    const isReady = this.credentials.token !== "" || (await this._useTicket());
    const who = isReady ? this._check() : null;
    if (who) onJoin(who);
  }

  /** @returns {Credentials | null} */
  _check() {
    const pasted = readTyped(this._fields.code.value).token;
    if (pasted) this._showToken(pasted);
    const { code, name, token } = this.credentials;
    this.complain("token", "");
    this.complain("code", code ? "" : NEEDS_CODE);
    this.complain("name", name || token ? "" : FIELDS.guest_name_required[1]);
    if (!code || !(name || token)) return null;
    if (name) local.set(NAME_KEY, name);
    this._fields.code.value = code;
    return { code, name, token };
  }

  /**
   * Exchange the ticket of the link, if there is one; keep it while the server cannot be reached.
   * @returns {Promise<boolean>} false when there is no token for it
   */
  async _useTicket() {
    const used = this._ticket;
    if (!used) return true;
    this.setBusy(true);
    try {
      const token = await this._exchange(used.ticket);
      if (this._ticket === used) this._ticket = null;
      rememberToken(used.code, token);
      this.complain("token", "");
      this._showToken(token);
      return true;
    } catch (error) {
      const isUsed = error instanceof Refusal && USED.includes(error.code);
      if (isUsed && this._ticket === used) this._ticket = null;
      this.complain("token", isUsed ? USED_LINK : TRY_AGAIN);
      return false;
    } finally {
      this.setBusy(false);
    }
  }

  /** @param {string} token */
  _showToken(token) {
    if (token) {
      this._fields.token.value = token;
      this._host.open = true;
    }
    this._showNameField();
  }

  /** Hide the field for the name while there is a token: it has a name. */
  _showNameField() {
    this._box("name").hidden = this._fields.token.value.trim() !== "";
  }

  /** @param {FieldName} name */
  _box(name) {
    return /** @type {HTMLElement} */ (this._fields[name].closest(".field"));
  }
}

/**
 * Return the link that invites to a room.
 * @param {string} code
 */
export function link(code) {
  return `${location.origin}${location.pathname}${code ? `#${fold(code) ?? code}` : ""}`;
}

/**
 * Keep a token until the tab is closed, for joining again.
 * @param {string} code
 * @param {string | null} token null: forget it
 */
export function rememberToken(code, token) {
  if (token) session.set(`${TOKEN_KEY}.${fold(code)}`, token);
  else session.remove(`${TOKEN_KEY}.${fold(code)}`);
}

/** @param {string} code */
function recallToken(code) {
  return session.get(`${TOKEN_KEY}.${fold(code)}`) ?? "";
}
