// Groups of consumers: the list, and one of them.

import { useState } from "./vendor/hooks.js";
import { at, useRead } from "./api.js";
import { counted, number } from "./format.js";
import { Badge, Empty, Filter, Loaded, Table, html, link } from "./parts.js";

const STATES = {
  Stable: ["good", "stable"],
  Empty: ["", "no members"],
  Dead: ["", "gone"],
  PreparingRebalance: ["warning", "rebalancing"],
  CompletingRebalance: ["warning", "rebalancing"],
  Assigning: ["warning", "rebalancing"],
  Reconciling: ["warning", "rebalancing"],
};

function State({ state }) {
  const [kind, text] = STATES[state] ?? ["", state];
  return html`<${Badge} kind=${kind}>${text}<//>`;
}

export function Groups() {
  const state = useRead("groups", 5000);
  const [filter, setFilter] = useState("");
  return html`
    <h1 tabindex="-1">Groups</h1>
    <p class="muted">Consumers that share the work of reading topics. The lag of a group is the number of messages that it has
      not read yet.</p>
    <${Loaded} state=${state}>${({ groups }) => {
      if (groups.length === 0) {
        return html`<${Empty} title="There is no group yet."><p>A consumer with a <code>group.id</code> makes one.</p><//>`;
      }
      const shown = groups.filter((group) => group.group.includes(filter.trim()));
      return html`
        <div class="tools"><${Filter} label="Filter by name" value=${filter} onInput=${setFilter} /></div>
        ${shown.length === 0 ? html`<p class="muted">No group matches.</p>` : html`
          <${Table} caption="Groups" rows=${shown} id=${(group) => group.group} columns=${[
            { title: "Group", cell: (group) => html`<a href=${link("groups", group.group)}>${group.group}</a>` },
            { title: "State", cell: (group) => html`<${State} state=${group.state} />` },
            { title: "Protocol", cell: (group) => group.type.toLowerCase() },
            { title: "Members", numeric: true, cell: (group) => number(group.members) },
            { title: "Lag", numeric: true, cell: (group) => number(group.lag) },
          ]} />`}
      `;
    }}<//>
  `;
}

function partitions(assignment) {
  const topics = new Map();
  for (const { topic, partition } of assignment) topics.set(topic, [...(topics.get(topic) ?? []), partition]);
  return [...topics].map(([topic, numbers]) => `${topic}: ${numbers.sort((a, b) => a - b).join(", ")}`).join("; ");
}

export function Group({ id }) {
  const state = useRead(`groups/${at(id)}`, 3000);
  return html`
    <p class="path"><a href="#/groups">Groups</a></p>
    <h1 tabindex="-1">${id}</h1>
    <${Loaded} state=${state}>${(group) => {
      const lag = group.offsets.reduce((sum, row) => sum + (row.lag ?? 0), 0);
      const names = new Map(group.members.map((member) => [member.consumerId, member.clientId]));
      return html`
        <ul class="figures">
          <li class="figure"><span class="value"><${State} state=${group.state} /></span> <span>state</span></li>
          <li class="figure"><span class="value">${number(group.members.length)}</span> <span>${group.members.length === 1 ? "member" : "members"}</span></li>
          <li class="figure"><span class="value">${number(lag)}</span> <span>messages not read yet (lag)</span></li>
        </ul>
        <section class="card" aria-labelledby="offsets">
          <h2 id="offsets">What it reads</h2>
          ${group.offsets.length === 0 ? html`<p class="muted">It has committed no offsets, and reads no partitions.</p>` : html`
          <${Table} caption="Partitions that the group reads" rows=${group.offsets} id=${(row) => `${row.topic}-${row.partition}`} columns=${[
            { title: "Partition", cell: (row) => html`<a href=${link("topics", row.topic)}>${row.topic}</a>-${row.partition}` },
            { title: "Read by", cell: (row) => row.member === null ? html`<em>nobody</em>` : names.get(row.member) || row.member },
            { title: "Next offset to read", numeric: true, cell: (row) => number(row.committed) },
            { title: "End offset", numeric: true, cell: (row) => number(row.endOffset) },
            { title: "Lag", numeric: true, cell: (row) => number(row.lag) },
          ]} />`}
        </section>
        <section class="card" aria-labelledby="members">
          <h2 id="members">Members</h2>
          ${group.members.length === 0 ? html`<p class="muted">No consumer of the group runs.</p>` : html`
          <${Table} caption="Members" rows=${group.members} id=${(member) => member.consumerId} columns=${[
            { title: "Client", cell: (member) => member.clientId || "–" },
            { title: "Host", cell: (member) => member.host },
            { title: "Reads", cell: (member) => partitions(member.currentAssignment) || html`<em>nothing</em>` },
            { title: "Member id", cell: (member) => html`<code>${member.consumerId}</code>` },
          ]} />`}
        </section>
        <p class="muted small">Coordinated by <a href=${link("brokers", group.coordinator.id)}>broker ${group.coordinator.id}</a>${
          group.assignor && html`; partitions are assigned by <code>${group.assignor}</code>`}. ${counted(group.offsets.length, "partition")}.</p>
      `;
    }}<//>
  `;
}
