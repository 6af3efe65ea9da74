/** The list of people, with those who wait and what a host can do. */

import { bdi, find, icon, keepFocus, make, reconcile } from "./dom.js";

/** @import { Meeting, Participant, Waiting } from "./client/roomd.js" */
/** @import { Names } from "./names.js" */

/**
 * @typedef {object} HostActions what buttons ask for
 * @property {(change: {isLocked?: boolean, waitingRoom?: boolean}) => Promise<boolean>} updateRoom
 * @property {(id: string) => void} admit
 * @property {(id: string) => void} deny
 * @property {() => void} admitAll
 * @property {(person: Participant) => void} mute
 * @property {(person: Participant) => void} remove
 */

/** What users are called by their rights. */
const KINDS = { host: "host", cohost: "co-host", member: "member" };

export class People {
  /** @param {HostActions} actions */
  constructor(actions) {
    this._actions = actions;
    this._list = find("people-list", HTMLElement);
    this._lobby = find("lobby-list", HTMLElement);
    this._hands = find("hands-list", HTMLElement);
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
    keepFocus(find("people", HTMLElement), find("present-title", HTMLElement), () => this._render(meeting, me, names));
  }

  /**
   * @param {Meeting} meeting
   * @param {Participant} me
   * @param {Names} names
   */
  _render(meeting, me, names) {
    find("controls", HTMLElement).hidden = !isHost(me);
    for (const [input, key] of this._switches) if (!input.disabled) input.checked = meeting.room?.[key] ?? false;
    const lobby = isHost(me) ? meeting.lobby : [];
    const asking = lobby.filter((one) => one.reason === "waiting_room");
    find("lobby", HTMLElement).hidden = lobby.length === 0;
    find("admit-all", HTMLElement).hidden = asking.length < 2;
    const { hands } = meeting;
    find("hands", HTMLElement).hidden = hands.length === 0;
    reconcile(this._hands, hands, {
      key: (person) => person.id,
      create: () => make("li", {}, nameBox()),
      update: (row, person) => showName(row, names.of(person), person.guestName === null),
    });
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
    const row = make("li", {}, make("div", { className: "who" }, nameBox(), make("small")));
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
    showName(row, one.displayName, one.guestName === null);
    const what = one.reason === "room_full" ? "waits for a seat" : one.guestName !== null ? "guest" : "member";
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
    const row = make("li", {}, make("div", { className: "who" }, nameBox(), make("small")), state);
    if (person.id !== me.id) {
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
    showName(row, name, person.guestName === null);
    row.querySelector(".doing")?.toggleAttribute("hidden", !isHost(me));
    const [mute, remove] = row.querySelectorAll(".doing button");
    mute?.setAttribute("aria-label", `Ask ${name} to mute`);
    remove?.setAttribute("aria-label", `Remove ${name}`);
    const kind = person.guestName !== null ? "guest" : KINDS[person.role];
    const marks = [person.id === me.id ? "you" : "", kind, person.isActive ? "" : "reconnecting…"];
    say(row, "small", marks.filter(Boolean).join(", "));
    row.classList.toggle("away", !person.isActive);
    const [hand, muted] = row.querySelectorAll(".state svg");
    hand?.toggleAttribute("hidden", !person.state?.handRaised);
    muted?.toggleAttribute("hidden", person.state?.muted !== true);
    mute?.toggleAttribute("hidden", person.state?.muted !== false || !person.isActive);
  }
}

/**
 * Whether somebody may do what hosts do.
 * @param {Participant | null | undefined} person
 */
export function isHost(person) {
  return person != null && person.role !== "member";
}

/** Make the place for a name, with the mark of those whose identity was verified. */
export function nameBox() {
  return make("b", {}, bdi(""), icon("verified", "signed in", "verified"));
}

/**
 * @param {Element} place what has a name box in it
 * @param {string} name
 * @param {boolean} isUser users have shown a token, guests have not. It does not depend on user ids, which may be hidden.
 */
export function showName(place, name, isUser) {
  say(place, "bdi", name);
  place.querySelector(".verified")?.toggleAttribute("hidden", !isUser);
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
