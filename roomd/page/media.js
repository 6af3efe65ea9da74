/** The own camera, microphone and screen. Each may be missing or refused; the meeting works without it. */

import { choose, wish } from "./wish.js";

/** @typedef {"microphone" | "camera"} DeviceName */

/** @type {Record<DeviceName, MediaStreamConstraints>} */
const WANTED = {
  microphone: { audio: true },
  camera: { video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 24, max: 30 } } },
};
/** Milliseconds after which a browser that has not given a device is taken to ask the person. */
const SOON = 500;
export const DEVICES = /** @type {DeviceName[]} */ (Object.keys(WANTED));

/** Events: `change` {}: what is sent has changed, or what could be sent, or what the browser asks for. */
export class Media extends EventTarget {
  constructor() {
    super();
    /** @type {Record<DeviceName, MediaStreamTrack | null>} */
    this._tracks = { microphone: null, camera: null };
    /** @type {MediaStreamTrack | null} */
    this._screen = null;
    this._shown = new MediaStream();
    /** Why there is no camera or microphone: what the browser threw. @type {Partial<Record<DeviceName, unknown>>} */
    this.trouble = {};
    /** The devices for which the browser asks the person. @type {Set<DeviceName>} */
    this.asked = new Set();
    /** The devices that the browser has not given or refused yet. @type {Set<DeviceName>} */
    this._pending = new Set();
    /** Counts openings and closings: a device that the browser gives after the next one is too late. */
    this._turn = 0;
  }

  /** The track that others hear; null without a microphone. */
  get audio() {
    return this._tracks.microphone;
  }

  /** The track that others see: the screen while it is shared, else the camera. */
  get video() {
    return this._screen ?? this._tracks.camera;
  }

  /** The own picture, without sound; null without a picture. */
  get shown() {
    const track = this.video;
    for (const old of this._shown.getTracks()) if (old !== track) this._shown.removeTrack(old);
    if (track) this._shown.addTrack(track); // adding it twice does nothing
    return track && this._shown;
  }

  get muted() {
    return !this._tracks.microphone?.enabled;
  }

  get cameraOn() {
    return this._tracks.camera !== null;
  }

  get sharing() {
    return this._screen !== null;
  }

  /** Whether this browser can share a screen: browsers of phones cannot. */
  static get canShare() {
    return typeof navigator.mediaDevices?.getDisplayMedia === "function";
  }

  /** Open the devices that are wished and not open. Never throws: see `trouble`. */
  async open() {
    const names = DEVICES.filter((name) => wish[name] && !this._tracks[name] && !this._pending.has(name));
    // Asked for together, they are one question to the person. If one of them fails, the other may still be had.
    if (names.length > 1 && (await this._ask(names))) return;
    await Promise.all(names.map((name) => wish[name] && this._ask([name])));
  }

  /** Switch the microphone. Throws what the browser throws if there is none. */
  async toggleMicrophone() {
    const track = this._tracks.microphone;
    if (!track) return this._toggle("microphone");
    track.enabled = !track.enabled;
    choose("microphone", track.enabled);
    this._changed();
  }

  /** Switch the microphone off. */
  mute() {
    if (this._tracks.microphone) this._tracks.microphone.enabled = false;
    choose("microphone", false);
    this._changed();
  }

  /** Switch the camera; off, its light is off too. Throws what the browser throws if there is none. */
  async toggleCamera() {
    const track = this._tracks.camera;
    if (!track) return this._toggle("camera");
    track.stop();
    this._tracks.camera = null;
    choose("camera", false);
    this._changed();
  }

  /** Share the screen instead of the camera, or stop to. Throws what the browser throws if it is not allowed. */
  async toggleScreen() {
    if (this._screen) {
      this._screen.stop();
      this._screen = null;
    } else {
      const turn = this._turn;
      const stream = await devices().getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
      if (turn !== this._turn) return stream.getTracks().forEach((track) => track.stop());
      const screen = (this._screen = stream.getVideoTracks()[0] ?? null);
      // It is stopped by the browser's own button.
      if (screen) screen.onended = () => this._screen === screen && this._lost(() => (this._screen = null));
    }
    this._changed();
  }

  /** Release all devices. The wish stays. */
  close() {
    this._turn++;
    this.asked.clear();
    this._pending.clear();
    this.trouble = {};
    for (const track of [this._tracks.microphone, this._tracks.camera, this._screen]) track?.stop();
    this._tracks = { microphone: null, camera: null };
    this._screen = null;
    this._changed();
  }

  /**
   * Switch a device on, or no longer wish for it while the browser asks.
   * @param {DeviceName} name
   */
  async _toggle(name) {
    const isOn = !this._pending.has(name) || !wish[name];
    choose(name, isOn);
    this._changed();
    if (!isOn || this._pending.has(name) || (await this._ask([name]))) return;
    if (this.trouble[name]) throw this.trouble[name];
  }

  /**
   * Ask the browser for devices.
   * @param {DeviceName[]} names
   * @returns {Promise<boolean>} whether it has given them
   */
  async _ask(names) {
    const turn = this._turn;
    const soon = setTimeout(() => this._isAsked(names), SOON);
    for (const name of names) this._pending.add(name);
    try {
      const stream = await devices().getUserMedia(Object.assign({}, ...names.map((name) => WANTED[name])));
      const isLate = turn !== this._turn;
      for (const track of stream.getTracks()) this._keep(track, isLate);
      if (!isLate) for (const name of names) delete this.trouble[name];
      return true;
    } catch (error) {
      if (turn === this._turn && names[0] && names.length === 1) this.trouble[names[0]] = error;
      return false;
    } finally {
      clearTimeout(soon);
      if (turn === this._turn) {
        for (const name of names) this._pending.delete(name);
        for (const name of names) this.asked.delete(name);
      }
      this._changed();
    }
  }

  /** @param {DeviceName[]} names */
  _isAsked(names) {
    for (const name of names) if (this._pending.has(name)) this.asked.add(name);
    this._changed();
  }

  /**
   * @param {MediaStreamTrack} track
   * @param {boolean} isLate
   */
  _keep(track, isLate) {
    const name = track.kind === "audio" ? "microphone" : "camera";
    if (isLate || !wish[name]) return track.stop();
    this._tracks[name]?.stop(); // when it was switched on twice at once
    this._tracks[name] = track;
    // It is unplugged, or the permission was withdrawn.
    track.onended = () => this._tracks[name] === track && this._lost(() => (this._tracks[name] = null));
  }

  /** @param {() => void} forget */
  _lost(forget) {
    forget();
    this._changed();
  }

  _changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}

function devices() {
  // Pages that are neither https:// nor on localhost have no devices.
  if (!navigator.mediaDevices) throw new DOMException("insecure page", "SecurityError");
  return navigator.mediaDevices;
}
