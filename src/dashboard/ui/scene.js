// What stands where: the proxy in the middle, nodes in rings around it, clients above it. The same nodes stand at the same
// places every day.

const RINGS = [12, 18, 26];
const LYING = 0.24;
/** Of these only the outline is sure. */
export const HOLLOW = new Set(["unknown", "service_down", "wake_failed"]);

/** The places of so many nodes, and how far out they reach. */
export function seats(count) {
  const rings = count <= RINGS[0] ? 1 : count <= RINGS[0] + RINGS[1] ? 2 : Math.max(3, Math.ceil((count - 30) / 26) + 2);
  const radii = Array.from({ length: rings }, (_, ring) => (rings === 1 ? 3.1 + count * 0.12 : 4.2 + ring * 2.7));
  const all = radii.reduce((sum, radius) => sum + radius, 0);
  const places = [];
  let left = count;
  radii.forEach((radius, ring) => {
    const here = ring === rings - 1 ? left : Math.round((count * radius) / all);
    left -= here;
    for (let at = 0; at < here; at++) {
      const angle = ((at + (ring % 2) / 2) / here) * 2 * Math.PI + Math.PI / 2;
      places.push({ x: Math.cos(angle) * radius, z: Math.sin(angle) * radius, angle });
    }
  });
  return { places, radii, extent: radii.at(-1) + 1.2 };
}

/** How tall a node stands: by its memory while it is up, lying low while it sleeps. */
export function stature(node) {
  if (node.state === "asleep" || node.state === "suspending") return LYING;
  if (node.state === "unknown") return 0.6;
  const memory = Number(node.spec?.memory_gb) || 16;
  return Math.min(2.2, Math.max(0.8, 0.8 + 0.3 * Math.log2(memory / 8)));
}

/** Who is asking now, each beside the line of the node that works or wakes for them. Bounded: the rest is left out. */
export function clientsOf(requests, bodies, most = 8) {
  const clients = new Map();
  for (const request of requests) {
    const key = request.client ?? "?";
    const client = clients.get(key) ?? { key, agent: request.agent, node: request.node, running: 0, held: 0 };
    client[request.held ? "held" : "running"] += 1;
    clients.set(key, client);
  }
  const taken = new Map();
  return [...clients.values()].sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, most).map((client, at) => {
    const body = bodies.find((one) => one.name === client.node);
    const place = taken.get(client.node) ?? 0;
    taken.set(client.node, place + 1);
    const aside = (0.5 + 0.3 * Math.floor(place / 2)) * (place % 2 ? -1 : 1);
    const angle = body ? body.angle + aside : (at / most) * 2 * Math.PI;
    return { ...client, x: Math.cos(angle) * 2.1, y: 0.35, z: Math.sin(angle) * 2.1 };
  });
}
