// Real bytes as moving dots: every dot stands for the same number of bytes on every line, which the legend tells. A dot
// exists only because bytes were counted; when none are, nothing moves.

const TRAVEL = 1.1; // seconds from end to end
const BUSIEST = 14; // dots a second on the busiest line
const MOST = 700; // dots at a time
const FADES = 2.5; // seconds after which a rate is over

/** The dots on all lines. Times are seconds of the page's own clock. */
export class Traffic {
  constructor() {
    this.dots = [];
    this.lines = new Map();
    this.quantum = 64;
  }

  /** Takes the running totals of one node; what was before the first ones is not counted. */
  take(name, { time, sent, received }, at) {
    const line = this.lines.get(name);
    if (!line || sent < line.sent || received < line.received) {
      this.lines.set(name, { time, sent, received, rate: 0, at, owed: [0, 0] });
      return;
    }
    const took = Math.min(3, Math.max(0.25, time - line.time));
    const bytes = [sent - line.sent, received - line.received];
    Object.assign(line, { time, sent, received });
    if (bytes[0] + bytes[1] === 0) return;
    Object.assign(line, { rate: (bytes[0] + bytes[1]) / took, at });
    this.weigh(at);
    bytes.forEach((count, way) => this.send(name, line, way, count / this.quantum, took, at));
  }

  /** Four times as many bytes to a dot as long as the busiest line has too many of them. */
  weigh(at) {
    const most = Math.max(0, ...[...this.lines.values()].filter((line) => at - line.at < 10).map((line) => line.rate));
    let quantum = 64;
    while (most / quantum > BUSIEST) quantum *= 4;
    this.quantum = quantum;
  }

  send(name, line, way, count, took, at) {
    line.owed[way] += count;
    const whole = Math.min(Math.floor(line.owed[way]), MOST - this.dots.length);
    line.owed[way] -= Math.floor(line.owed[way]);
    for (let one = 0; one < whole; one++) this.dots.push({ name, way, born: at + (one / whole) * Math.min(took, 1.2) });
  }

  /** Lets go what has arrived; whether dots are left. */
  step(at) {
    this.dots = this.dots.filter((dot) => at < dot.born + TRAVEL);
    return this.dots.length > 0;
  }

  /** The dots on their way: line, direction, and how far along it from 0 to 1. */
  *moving(at) {
    for (const { name, way, born } of this.dots) if (at >= born) yield { name, way, along: (at - born) / TRAVEL };
  }

  /** Bytes a second on the line of a node. */
  rate(name, at) {
    const line = this.lines.get(name);
    return line && at - line.at < FADES ? line.rate : 0;
  }

  /** Whether some rate is still to be shown as over. */
  isFading(at) {
    return [...this.lines.values()].some((line) => line.rate > 0 && at - line.at < FADES + 1);
  }
}
