/** Link: one RTCPeerConnection with one other participant, and its signals. See mesh.js. */

/** @import { Mesh } from "./mesh.js" */

/**
 * What one participant sends to another: a description, a candidate (null: there are no more), or the request for a
 * new generation.
 *
 * @typedef {object} Signal
 * @property {string | null} generation
 * @property {RTCSessionDescriptionInit} [description]
 * @property {RTCIceCandidateInit | null} [candidate]
 * @property {true} [restart]
 */

/** Milliseconds that an offer may stay unanswered. */
export const PATIENCE = 10_000;
const KINDS = /** @type {const} */ (["audio", "video"]);

/** One generation of a connection with one peer. */
export class Link {
  /**
   * @param {Mesh} mesh
   * @param {string} peer
   * @param {string} generation
   * @param {boolean} polite whether this side drops its own offer when both offer at once
   */
  constructor(mesh, peer, generation, polite) {
    this._mesh = mesh;
    this.peer = peer;
    this.generation = generation;
    this._polite = polite;
    this._offering = false;
    this._ignoring = false;
    /** A signal was lost: the peer knows less than it should. */
    this.isBroken = false;
    this._closed = false;
    /** @type {Promise<unknown>} signals are handled one after another */
    this._inbox = Promise.resolve();
    /** @type {Promise<unknown>} signals are sent one after another */
    this._outbox = Promise.resolve();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._unanswered = undefined;
    this._stream = new MediaStream();
    const pc = (this._pc = new RTCPeerConnection(mesh.configuration));
    pc.onnegotiationneeded = () => void this._offer();
    pc.onicecandidate = ({ candidate }) => this._send({ candidate: candidate?.toJSON() ?? null });
    pc.ontrack = ({ track }) => this._show(track);
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "failed") pc.restartIce();
    };
  }

  /** Whether it is connected, and no negotiation is under way. */
  get isWell() {
    return !this.isBroken && this._pc.connectionState === "connected" && this._pc.signalingState === "stable";
  }

  /** Make the first offer. */
  begin() {
    for (const kind of KINDS) this._pc.addTransceiver(kind, { direction: "sendrecv" });
    this.sendTracks();
  }

  /** Send the tracks that the mesh has now. */
  sendTracks() {
    for (const kind of KINDS) {
      const transceiver = this._transceiver(kind);
      if (transceiver && transceiver.sender.track !== this._mesh.tracks[kind]) {
        transceiver.sender.replaceTrack(this._mesh.tracks[kind]).catch(() => undefined); // closed by now
      }
    }
  }

  /** Attach the tracks again: in Chromium (seen in 150) a sender may send nothing after its offer was rolled back. */
  async _reattach() {
    for (const sender of this._pc.getSenders()) await sender.replaceTrack(null);
    this.sendTracks();
  }

  /** Use the mesh's ICE servers, from the next ICE restart on. */
  configure() {
    this._pc.setConfiguration(this._mesh.configuration);
  }

  /** @param {Signal} signal */
  hear(signal) {
    this._inbox = this._inbox.then(() => this._take(signal)).catch(() => undefined); // malformed: it comes from another person's program
  }

  close() {
    this._closed = true;
    clearTimeout(this._unanswered);
    const pc = this._pc;
    pc.onnegotiationneeded = pc.onicecandidate = pc.ontrack = pc.onconnectionstatechange = null;
    pc.close();
  }

  async _offer() {
    try {
      this._offering = true;
      await this._pc.setLocalDescription();
      this._send({ description: this._pc.localDescription?.toJSON() });
      clearTimeout(this._unanswered);
      this._unanswered = setTimeout(() => {
        if (this._pc.signalingState === "have-local-offer") this._mesh.unanswered(this);
      }, PATIENCE);
    } catch {
      this.isBroken = true;
    } finally {
      this._offering = false;
    }
  }

  /** @param {Signal} signal */
  async _take({ description, candidate }) {
    const pc = this._pc;
    if (description) {
      const collides = description.type === "offer" && (this._offering || pc.signalingState !== "stable");
      this._ignoring = collides && !this._polite;
      if (this._ignoring) return;
      await pc.setRemoteDescription(description); // rolls our own offer back where it collides
      if (description.type !== "offer") return;
      for (const kind of KINDS) {
        const transceiver = this._transceiver(kind);
        if (transceiver) transceiver.direction = "sendrecv";
      }
      this.sendTracks();
      await pc.setLocalDescription();
      this._send({ description: pc.localDescription?.toJSON() });
      if (collides) await this._reattach();
    } else if (candidate !== undefined) {
      try {
        await pc.addIceCandidate(candidate ?? undefined);
      } catch (error) {
        if (!this._ignoring) throw error;
      }
    }
  }

  /** @param {Omit<Signal, "generation">} signal */
  _send(signal) {
    this._outbox = this._outbox.then(async () => {
      if (this._closed || this.isBroken) return;
      if (!(await this._mesh.send(this.peer, { generation: this.generation, ...signal }))) this.isBroken = true;
    });
  }

  /** @param {MediaStreamTrack} track */
  _show(track) {
    for (const old of this._stream.getTracks()) if (old.kind === track.kind) this._stream.removeTrack(old);
    this._stream.addTrack(track);
    this._mesh.tell("stream", { id: this.peer, stream: this._stream });
  }

  /** @param {"audio" | "video"} kind */
  _transceiver(kind) {
    return this._pc.getTransceivers().find((each) => each.receiver.track.kind === kind);
  }
}
