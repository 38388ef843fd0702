// Brokers: the list, and one of them.

import { at, useRead } from "./api.js";
import { bytes, number } from "./format.js";
import { Badge, Configs, Loaded, Table, html, link } from "./parts.js";

const State = ({ broker }) => broker.fenced
  ? html`<${Badge} kind="warning">out of service<//>`
  : html`<${Badge} kind="good">in service<//>`;

const size = (dirs) => dirs === null ? "–" : bytes(dirs.reduce((sum, dir) => sum + dir.bytes, 0));

export function Brokers() {
  const state = useRead("brokers", 5000);
  return html`
    <h1 tabindex="-1">Brokers</h1>
    <p class="muted">The servers that keep the messages.</p>
    <${Loaded} state=${state}>${({ brokers }) => html`
      <${Table} caption="Brokers" rows=${brokers} id=${(broker) => broker.id} columns=${[
        { title: "Broker", cell: (broker) => html`<a href=${link("brokers", broker.id)} aria-label="broker ${broker.id}">${broker.id}</a>` },
        { title: "State", cell: (broker) => html`<${State} broker=${broker} />` },
        { title: "Address for clients", cell: (broker) => html`<code>${broker.host}:${broker.port}</code>` },
        { title: "Rack", cell: (broker) => broker.rack ?? "–" },
        { title: "Leads partitions", numeric: true, cell: (broker) => number(broker.leaders) },
        { title: "Replicas", numeric: true, cell: (broker) => number(broker.replicas) },
        { title: "Size", numeric: true, cell: (broker) => size(broker.logDirs) },
      ]} />
    `}<//>
  `;
}

export function Broker({ id }) {
  const state = useRead(`brokers/${at(id)}`, 10000);
  return html`
    <p class="path"><a href="#/brokers">Brokers</a></p>
    <h1 tabindex="-1">Broker ${id}</h1>
    <${Loaded} state=${state}>${({ broker, logDirs, configs }) => html`
      <p><${State} broker=${broker} /> <code>${broker.host}:${broker.port}</code></p>
      <section class="card" aria-labelledby="dirs">
        <h2 id="dirs">Log directories</h2>
        ${logDirs === null ? html`<p class="muted">They cannot be read: the broker does not answer, or you may not.</p>` : html`
        <${Table} caption="Log directories" rows=${logDirs} id=${(dir) => dir.path} columns=${[
          { title: "Directory", cell: (dir) => html`<code>${dir.path}</code>` },
          { title: "State", cell: (dir) => dir.error ? html`<${Badge} kind="critical">${dir.error}<//>` : html`<${Badge} kind="good">works<//>` },
          { title: "Messages", numeric: true, cell: (dir) => bytes(dir.bytes) },
          { title: "Free on the disk", numeric: true, cell: (dir) => bytes(dir.usable) },
          { title: "Disk", numeric: true, cell: (dir) => bytes(dir.total) },
        ]} />`}
      </section>
      <section class="card" aria-labelledby="configs">
        <h2 id="configs">Properties that differ from the default</h2>
        <${Configs} configs=${configs} whose="the broker" />
      </section>
    `}<//>
  `;
}
