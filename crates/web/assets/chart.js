// A chart of rates over the last minutes. The numbers are in the text beside it, too.

import { html } from "./parts.js";

const WIDTH = 720;
const HEIGHT = 160;

// The next larger number of the form 1, 2 or 5 times a power of ten.
function ceiling(value) {
  const base = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * base).find((rounded) => rounded >= value);
}

// series: [{ className, points: [{ at, value }] }]; at and span are in milliseconds, floor is the least top of the scale.
export function Chart({ label, series, format, floor, span }) {
  const now = Math.max(0, ...series.flatMap(({ points }) => points.map((point) => point.at)));
  const top = ceiling(Math.max(floor, ...series.flatMap(({ points }) => points.map((point) => point.value))));
  const x = (at) => WIDTH - ((now - at) / span) * WIDTH;
  const y = (value) => HEIGHT - (value / top) * (HEIGHT - 8);
  const line = (points) => points.map((point, index) =>
    `${index === 0 ? "M" : "L"}${x(point.at).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const area = (points) => points.length < 2 ? "" :
    `${line(points)}L${x(points.at(-1).at).toFixed(1)} ${HEIGHT}L${x(points[0].at).toFixed(1)} ${HEIGHT}Z`;
  return html`
    <figure class="chart">
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT + 1}" preserveAspectRatio="none" role="img" aria-label=${label}>
        ${[0, 0.5, 1].map((part) => html`<line class="grid" x1="0" x2=${WIDTH} y1=${y(part * top)} y2=${y(part * top)} />`)}
        ${series.map(({ className, points }) => html`<path class="area ${className}" d=${area(points)} />
          <path class="line ${className}" d=${line(points)} />`)}
      </svg>
      <div class="scale" aria-hidden="true"><span>${format(top)}</span><span>${format(top / 2)}</span><span>0</span></div>
      <div class="times" aria-hidden="true"><span>5 minutes ago</span><span>now</span></div>
    </figure>
  `;
}
