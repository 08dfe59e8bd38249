// Where the picture is seen from, and where a point of the scene lies on the screen. Pure arithmetic.

const HOME = { yaw: 0.55, zoom: 1, x: 0, z: 0 };
const FLAT = 1.5;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** A camera that circles the middle. What is shown always fits at zoom 1. */
export class Camera {
  constructor() {
    Object.assign(this, HOME, { pitch: null, width: 1, height: 1, extent: 6 });
  }

  /** The size of the picture, and how far from the middle things stand. Nobody tilted it: it is tilted as fits the new size. */
  resize(width, height, extent) {
    const untouched = this.pitch === null || this.pitch === this.home().pitch;
    Object.assign(this, { width, height, extent });
    if (untouched) this.pitch = this.home().pitch;
    this.aim();
  }

  /** Turns by so much; never below the ground or over the top. */
  turn(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = clamp(this.pitch + pitch, 0.12, FLAT);
    this.aim();
  }

  zoomBy(factor) {
    this.zoom = clamp(this.zoom * factor, 0.5, 8);
    this.aim();
  }

  /** Moves what is looked at by so many pixels. */
  pan(dx, dy) {
    const step = this.distance / this.focal;
    const [right, near] = [-dx * step, (-dy * step) / Math.max(0.35, this.sinP)];
    this.x = clamp(this.x + right * this.cosY + near * this.sinY, -this.extent, this.extent);
    this.z = clamp(this.z - right * this.sinY + near * this.cosY, -this.extent, this.extent);
  }

  get flat() {
    return this.pitch > FLAT - 0.05;
  }

  /** The numbers of a view, to move to it in steps. */
  get pose() {
    return { yaw: this.yaw, pitch: this.pitch, zoom: this.zoom, x: this.x, z: this.z };
  }

  set pose(pose) {
    Object.assign(this, pose);
    this.aim();
  }

  /** The view to begin with, and to come back to: the steeper, the taller the picture is. */
  home(flat = false) {
    return flat ? { ...HOME, yaw: 0, pitch: FLAT } : { ...HOME, pitch: clamp(0.5 + (1.5 - this.width / this.height) * 0.45, 0.5, 0.9) };
  }

  /** Chooses the focal length at which a ring of the scene's extent fits from this height. */
  aim() {
    [this.sinY, this.cosY, this.sinP, this.cosP] = [Math.sin(this.yaw), Math.cos(this.yaw), Math.sin(this.pitch), Math.cos(this.pitch)];
    this.distance = this.extent * 3.4;
    let [wide, top, bottom] = [0, 0, 0];
    for (let step = 0; step < 24; step++) {
      const angle = (step / 12) * Math.PI;
      const [x, far] = [Math.cos(angle) * this.extent, Math.sin(angle) * this.extent];
      const depth = this.distance - far * this.cosP;
      wide = Math.max(wide, Math.abs(x) / depth);
      const y = (-far * this.sinP) / depth;
      top = Math.max(top, y + (1.6 * this.cosP) / depth);
      bottom = Math.min(bottom, y);
    }
    this.focal = Math.min((this.width * 0.46) / wide, (this.height * 0.86) / (top - bottom)) * this.zoom;
    this.middle = this.height / 2 + ((top + bottom) / 2) * this.focal;
  }

  /** A point on the screen: where, how large, how far away. */
  project(x, y, z) {
    const [px, pz] = [x - this.x, z - this.z];
    const right = px * this.cosY - pz * this.sinY;
    const near = px * this.sinY + pz * this.cosY;
    const depth = Math.max(0.1, this.distance - (y * this.sinP + near * this.cosP));
    const scale = this.focal / depth;
    return { x: this.width / 2 + right * scale, y: this.middle - (y * this.cosP - near * this.sinP) * scale, scale, depth };
  }

  /** Where the camera itself is in the scene. */
  get eye() {
    const far = this.distance * this.cosP;
    return { x: this.x + far * this.sinY, y: this.distance * this.sinP, z: this.z + far * this.cosY };
  }
}
