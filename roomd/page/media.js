/** The own camera, microphone and screen. Each may be missing or refused; the meeting works without it. */

const VIDEO = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 24, max: 30 } };

/** Events: `change` {}: what is sent has changed, or what could be sent. */
export class Media extends EventTarget {
  constructor() {
    super();
    /** @type {MediaStreamTrack | null} */
    this._microphone = null;
    /** @type {MediaStreamTrack | null} */
    this._camera = null;
    /** @type {MediaStreamTrack | null} */
    this._screen = null;
    this._shown = new MediaStream();
    /** @type {unknown} why there is no camera or microphone: what the browser threw */
    this.trouble = null;
    /** Counts openings and closings: a device that the browser grants after the next one is too late. */
    this._turn = 0;
  }

  /** The track that others hear; null without a microphone. */
  get audio() {
    return this._microphone;
  }

  /** The track that others see: the screen while it is shared, else the camera. */
  get video() {
    return this._screen ?? this._camera;
  }

  /** The own picture, without sound; null without a picture. */
  get shown() {
    const track = this.video;
    for (const old of this._shown.getTracks()) if (old !== track) this._shown.removeTrack(old);
    if (track) this._shown.addTrack(track); // adding it twice does nothing
    return track && this._shown;
  }

  get muted() {
    return !this._microphone?.enabled;
  }

  get cameraOn() {
    return this._camera !== null;
  }

  get sharing() {
    return this._screen !== null;
  }

  /** Whether this browser can share a screen: browsers of phones cannot. */
  static get canShare() {
    return typeof navigator.mediaDevices?.getDisplayMedia === "function";
  }

  /** Ask for both devices; if one is missing, for the other alone. Never throws: see `trouble`. */
  async open() {
    const turn = ++this._turn;
    this.trouble = null;
    for (const wanted of [{ audio: true, video: VIDEO }, { audio: true }, { video: VIDEO }]) {
      try {
        const stream = await devices().getUserMedia(wanted);
        if (turn !== this._turn) return stream.getTracks().forEach((track) => track.stop());
        this._keep(stream);
        break;
      } catch (error) {
        this.trouble ??= error;
        if (!(error instanceof DOMException && error.name === "NotFoundError")) break; // the person would be asked again
      }
    }
    this._changed();
  }

  /** Switch the microphone. Throws what the browser throws if there is none. */
  async toggleMicrophone() {
    if (this._microphone) this._microphone.enabled = !this._microphone.enabled;
    else await this._ask({ audio: true });
    this._changed();
  }

  /** Switch the microphone off. */
  mute() {
    if (this._microphone) this._microphone.enabled = false;
    this._changed();
  }

  /** Switch the camera; off, its light is off too. Throws what the browser throws if there is none. */
  async toggleCamera() {
    if (this._camera) {
      this._camera.stop();
      this._camera = null;
    } else {
      await this._ask({ video: VIDEO });
    }
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
      this._screen = stream.getVideoTracks()[0] ?? null;
      if (this._screen) this._screen.onended = () => this._lost("_screen"); // stopped by the browser's own button
    }
    this._changed();
  }

  /** Release all devices. */
  close() {
    this._turn++;
    for (const track of [this._microphone, this._camera, this._screen]) track?.stop();
    this._microphone = this._camera = this._screen = null;
    this._changed();
  }

  /** @param {MediaStreamConstraints} wanted */
  async _ask(wanted) {
    const turn = this._turn;
    const stream = await devices().getUserMedia(wanted);
    if (turn !== this._turn) return stream.getTracks().forEach((track) => track.stop());
    this.trouble = null;
    this._keep(stream);
  }

  /** @param {MediaStream} stream */
  _keep(stream) {
    for (const track of stream.getTracks()) {
      const place = track.kind === "audio" ? "_microphone" : "_camera";
      this[place]?.stop(); // when it was switched on twice at once
      this[place] = track;
      track.onended = () => this[place] === track && this._lost(place); // unplugged, or the permission was withdrawn
    }
  }

  /** @param {"_microphone" | "_camera" | "_screen"} place */
  _lost(place) {
    this[place] = null;
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
