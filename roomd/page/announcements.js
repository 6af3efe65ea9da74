/** Announcements: toasts of what others do, as far as it is not on the screen already. One object for each stay. */

import { bdi, find } from "./dom.js";
import { toast } from "./toasts.js";

/** @import { Message, Participant, Waiting } from "./client/roomd.js" */

/** Milliseconds in which arrivals and departures are told together. */
const TOGETHER = 700;

export class Announcements {
  /** @param {() => void} showPeople opens the list of people, where the lobby is */
  constructor(showPeople) {
    this._showPeople = showPeople;
    this._isClosed = false;
    /** @type {Record<"joined" | "left", Map<string, string>>} names that were not told yet, by participant */
    this._names = { joined: new Map(), left: new Map() };
    /** @type {Map<string | null, {box: HTMLElement, number: number}>} the toasts of unread messages, by sender; null: the service */
    this._messages = new Map();
    /** @type {Set<string>} those in the lobby who were announced */
    this._asking = new Set();
    /** @type {HTMLElement | null} */
    this._lobby = null;
  }

  /** Announce nothing any more. */
  close() {
    this._isClosed = true;
  }

  /**
   * Tell who joined or left, together with those who do so at the same moment.
   * @param {"joined" | "left"} what
   * @param {Participant} participant
   */
  participant(what, { id, displayName }) {
    const names = this._names[what];
    names.set(id, displayName);
    if (names.size > 1) return;
    setTimeout(() => {
      const each = [...names.values()].flatMap((name, index) => (index ? [", ", bdi(name)] : [bdi(name)]));
      const who = names.size > 3 ? [`${names.size} people`] : each;
      if (!this._isClosed) toast([...who, ` ${what}.`]);
      names.clear();
    }, TOGETHER);
  }

  /**
   * Tell of a message while the chat is closed; of several by one person in one toast.
   * @param {Message} message
   */
  message({ participantId, displayName }) {
    if (!find("chat", HTMLElement).hidden) return;
    const before = this._messages.get(participantId);
    const number = before?.box.isConnected ? before.number + 1 : 1;
    before?.box.remove();
    const box = toast([bdi(displayName), ` wrote ${number > 1 ? `${number} messages` : "a message"}.`]);
    this._messages.set(participantId, { box, number });
  }

  /**
   * Tell who has begun to wait for the host, while the list of people is closed.
   * @param {Waiting[]} lobby
   */
  lobby(lobby) {
    const asking = lobby.filter((one) => one.reason === "waiting_room");
    const news = asking.filter((one) => !this._asking.has(one.participantId));
    this._asking = new Set(asking.map((one) => one.participantId));
    if (asking.length === 0) this._lobby?.remove();
    if (!news[0] || !find("people", HTMLElement).hidden) return;
    this._lobby?.remove();
    const who = news.length > 1 ? [`${news.length} people wait`] : [bdi(news[0].displayName), " waits"];
    this._lobby = toast([...who, " to be let in."], { button: "Show", action: this._showPeople });
  }

  /**
   * Take back what a panel shows that was just opened.
   * @param {"people" | "chat" | null} panel
   */
  opened(panel) {
    if (panel === "chat") for (const { box } of this._messages.values()) box.remove();
    if (panel === "people") this._lobby?.remove();
  }
}
