// Topics: the list, and one of them.

import { useState } from "./vendor/hooks.js";
import { at, useRead } from "./api.js";
import { bytes, counted, number } from "./format.js";
import { Badge, Configs, Empty, Filter, Loaded, Table, html, link } from "./parts.js";

function Health({ row }) {
  if (row.offline > 0) return html`<${Badge} kind="critical">${counted(row.offline, "partition")} offline<//>`;
  if (row.underReplicated > 0) {
    return html`<${Badge} kind="warning">${counted(row.underReplicated, "partition")} out of sync<//>`;
  }
  return html`<${Badge} kind="good">in sync<//>`;
}

export function Topics() {
  const state = useRead("topics", 5000);
  const [filter, setFilter] = useState("");
  const [internal, setInternal] = useState(false);
  return html`
    <h1 tabindex="-1">Topics</h1>
    <p class="muted">Named logs that programs write messages to and read them from, each split into partitions.</p>
    <${Loaded} state=${state}>${({ topics }) => {
      const hidden = topics.filter((topic) => topic.internal).length;
      const shown = topics.filter((topic) => (internal || !topic.internal) && topic.name.includes(filter.trim()));
      return html`
        <div class="tools">
          <${Filter} label="Filter by name" value=${filter} onInput=${setFilter} />
          <label class="check"><input type="checkbox" checked=${internal} onChange=${(event) => setInternal(event.target.checked)} />
            Show internal topics (${hidden})</label>
        </div>
        ${shown.length > 0
          ? html`<${Table} caption="Topics" rows=${shown} id=${(topic) => topic.name} columns=${[
              { title: "Topic", cell: (topic) => html`<a href=${link("topics", topic.name)}>${topic.name}</a>` },
              { title: "State", cell: (topic) => html`<${Health} row=${topic} />` },
              { title: "Partitions", numeric: true, cell: (topic) => number(topic.partitions) },
              { title: "Copies", numeric: true, cell: (topic) => number(topic.replicationFactor) },
              { title: "Size of all copies", numeric: true, cell: (topic) => bytes(topic.bytes) },
            ]} />`
          : filter
            ? html`<p class="muted">No topic matches.</p>`
            : html`<${Empty} title="There is no topic yet.">
                <p>A producer that writes to a new name creates it, unless <code>auto.create.topics.enable</code> is off; so does
                  <code>dohle kafka-topics --create</code>.</p><//>`}
      `;
    }}<//>
  `;
}

function State({ partition }) {
  if (partition.leader === null) return html`<${Badge} kind="critical">offline<//>`;
  const missing = partition.replicas.filter((replica) => !partition.isr.includes(replica));
  if (missing.length > 0) return html`<${Badge} kind="warning">out of sync: ${missing.join(", ")}<//>`;
  return html`<${Badge} kind="good">in sync<//>`;
}

export function Topic({ name }) {
  const state = useRead(`topics/${at(name)}`, 5000);
  return html`
    <p class="path"><a href="#/topics">Topics</a></p>
    <h1 tabindex="-1">${name}</h1>
    <${Loaded} state=${state}>${(topic) => {
      const messages = topic.partitions.reduce((sum, it) =>
        it.endOffset === null || it.startOffset === null ? sum : sum + it.endOffset - it.startOffset, 0);
      const size = topic.partitions.flatMap((it) => Object.values(it.bytes)).reduce((sum, one) => sum + one, 0);
      return html`
        <ul class="figures">
          <li class="figure"><span class="value">${number(topic.partitions.length)}</span> <span>${topic.partitions.length === 1 ? "partition" : "partitions"}</span></li>
          <li class="figure"><span class="value">${number(messages)}</span> <span>offsets kept</span>
            <span class="muted small">about as many messages; fewer after compaction</span></li>
          <li class="figure"><span class="value">${bytes(size)}</span> <span>on disk</span>
            <span class="muted small">all copies together</span></li>
        </ul>
        <section class="card" aria-labelledby="partitions">
          <h2 id="partitions">Partitions</h2>
          <p class="muted">Each has copies (replicas) on several brokers. One of them, the leader, serves clients; those in sync
            have all messages and can take its place.</p>
          <${Table} caption="Partitions" rows=${topic.partitions} id=${(it) => it.partition} columns=${[
            { title: "Partition", cell: (it) => it.partition },
            { title: "State", cell: (it) => html`<${State} partition=${it} />` },
            { title: "Leader", cell: (it) => it.leader === null ? "none"
              : html`<a href=${link("brokers", it.leader)} aria-label="broker ${it.leader}">${it.leader}</a>` },
            { title: "Replicas", cell: (it) => it.replicas.join(", ") },
            { title: "In sync", cell: (it) => it.isr.join(", ") || "none" },
            { title: "First offset", numeric: true, cell: (it) => number(it.startOffset) },
            { title: "End offset", numeric: true, cell: (it) => number(it.endOffset) },
            { title: "Size of one copy", numeric: true, cell: (it) => bytes(it.bytes[it.leader]) },
          ]} />
        </section>
        <section class="card" aria-labelledby="configs">
          <h2 id="configs">Properties that differ from the default</h2>
          <${Configs} configs=${topic.configs} whose="the broker" />
        </section>
        <p class="muted small">Id <code>${topic.id}</code></p>
      `;
    }}<//>
  `;
}
