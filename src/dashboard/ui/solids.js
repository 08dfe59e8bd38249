// Shaded bodies on a canvas: upright prisms, the farther faces left out, light from the upper left.

const LIGHT = { x: -0.55, z: 0.6 };

/** A colour from the style sheet made lighter (above 1) or darker. */
export function shade(color, light, alpha = 1) {
  const value = parseInt(color.slice(1), 16);
  const part = (shift) => Math.round(Math.min(255, ((value >> shift) & 255) * light + Math.max(0, light - 1) * 60));
  return `rgb(${part(16)} ${part(8)} ${part(0)} / ${alpha})`;
}

function trace(context, points) {
  context.beginPath();
  points.forEach((point, at) => (at ? context.lineTo(point.x, point.y) : context.moveTo(point.x, point.y)));
  context.closePath();
}

/** An upright prism from height `low` to `high` with so many sides; `cap` is the colour of its top. Hollow ones are outlines. */
export function prism(context, camera, { x, z, low, high, radius, sides, angle = 0, color, cap = color, hollow = false }) {
  const corners = Array.from({ length: sides }, (_, at) => {
    const turn = angle + ((at + 0.5) / sides) * 2 * Math.PI;
    return { x: x + Math.cos(turn) * radius, z: z + Math.sin(turn) * radius, turn };
  });
  const bottom = corners.map((corner) => camera.project(corner.x, low, corner.z));
  const top = corners.map((corner) => camera.project(corner.x, high, corner.z));
  const eye = camera.eye;
  context.lineWidth = hollow ? 1.5 : 1;
  context.setLineDash(hollow ? [4, 3] : []);
  for (let at = 0; at < sides; at++) {
    const next = (at + 1) % sides;
    const turn = angle + ((at + 1) / sides) * 2 * Math.PI;
    const normal = { x: Math.cos(turn), z: Math.sin(turn) };
    const toEye = (eye.x - corners[at].x) * normal.x + (eye.z - corners[at].z) * normal.z;
    if (toEye <= 0) continue;
    // The light goes with the camera, so that the faces keep their shades while the scene turns.
    const facing = normal.x * (LIGHT.x * camera.cosY + LIGHT.z * camera.sinY) + normal.z * (LIGHT.z * camera.cosY - LIGHT.x * camera.sinY);
    trace(context, [bottom[at], bottom[next], top[next], top[at]]);
    paint(context, color, 0.8 + 0.2 * facing, hollow);
  }
  trace(context, top);
  paint(context, cap, 1.05, hollow);
  context.setLineDash([]);
}

function paint(context, color, light, hollow) {
  context.fillStyle = shade(color, light, hollow ? 0.1 : 1);
  context.fill();
  context.strokeStyle = hollow ? color : shade(color, light * 0.9);
  context.stroke();
}

/** A circle that lies on the ground, or a part of it. */
export function circle(context, camera, x, z, radius, part = 1) {
  const steps = Math.max(2, Math.ceil(48 * part));
  context.beginPath();
  for (let step = 0; step <= steps; step++) {
    const angle = (step / steps) * part * 2 * Math.PI - Math.PI / 2;
    const point = camera.project(x + Math.cos(angle) * radius, 0.02, z + Math.sin(angle) * radius);
    if (step) context.lineTo(point.x, point.y);
    else context.moveTo(point.x, point.y);
  }
}
