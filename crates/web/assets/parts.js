// Parts that several pages use.

import { h } from "./vendor/preact.js";
import { useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);

export const link = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

export function Problem({ error }) {
  return html`<div class="notice critical" role="alert"><strong>This could not be read.</strong> ${error.message}</div>`;
}

// Shows what was read; until then a line, and an error in its place or above it.
export function Loaded({ state, children }) {
  const { data, error } = state;
  return html`
    ${error && html`<${Problem} error=${error} />`}
    ${data ? children(data) : !error && html`<p class="muted" role="status">Reading…</p>`}
  `;
}

export function Badge({ kind, children }) {
  return html`<span class="badge ${kind}">${children}</span>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p><strong>${title}</strong></p>${children}</div>`;
}

// A table with a caption; columns are { title, cell, numeric, key }. The first is the row's header.
export function Table({ caption, columns, rows, id, shownMax = 200 }) {
  const [all, setAll] = useState(false);
  const shown = all ? rows : rows.slice(0, shownMax);
  return html`
    <div class="scroll" tabindex="0" role="group" aria-label=${caption}>
      <table>
        <caption class="hidden">${caption}</caption>
        <thead>
          <tr>${columns.map((column) => html`<th scope="col" class=${column.numeric ? "number" : ""}>${column.title}</th>`)}</tr>
        </thead>
        <tbody>
          ${shown.map((row) => html`<tr key=${id(row)}>
            ${columns.map((column, at) => at === 0
              ? html`<th scope="row" class=${column.numeric ? "number" : ""}>${column.cell(row)}</th>`
              : html`<td class=${column.numeric ? "number" : ""}>${column.cell(row)}</td>`)}
          </tr>`)}
        </tbody>
      </table>
    </div>
    ${shown.length < rows.length && html`<p>
      <button type="button" onClick=${() => setAll(true)}>Show all ${rows.length} rows</button>
    </p>`}
  `;
}

export function Filter({ label, value, onInput }) {
  return html`<label class="filter">${label}
    <input type="search" value=${value} onInput=${(event) => onInput(event.target.value)} autocomplete="off" spellcheck="false" />
  </label>`;
}

const SOURCES = {
  DYNAMIC_TOPIC_CONFIG: "set on the topic",
  DYNAMIC_BROKER_CONFIG: "set on this broker at run time",
  DYNAMIC_DEFAULT_BROKER_CONFIG: "set on all brokers at run time",
  STATIC_BROKER_CONFIG: "properties of the broker's start",
  DEFAULT_CONFIG: "default",
};

// Properties: those that differ from the default, or all.
export function Configs({ configs, whose }) {
  const [all, setAll] = useState(false);
  const [filter, setFilter] = useState("");
  if (!configs) return html`<p class="muted">They cannot be read: ${whose} does not answer, or you may not.</p>`;
  const differing = configs.filter((config) => config.changed);
  const shown = (all ? configs : differing).filter((config) => config.name.includes(filter.trim()));
  const value = (config) => config.sensitive ? html`<em>secret</em>` : config.value === null || config.value === ""
    ? html`<em>none</em>` : html`<code>${config.value}</code>`;
  return html`
    <div class="tools">
      <${Filter} label="Filter by name" value=${filter} onInput=${setFilter} />
      <label class="check"><input type="checkbox" checked=${all} onChange=${(event) => setAll(event.target.checked)} />
        Show the others, too (${configs.length - differing.length})</label>
    </div>
    ${shown.length === 0
      ? html`<p class="muted">${filter ? "No property matches." : "All properties have their defaults."}</p>`
      : html`<${Table} caption="Properties" rows=${shown} id=${(config) => config.name} columns=${[
          { title: "Property", cell: (config) => html`<code>${config.name}</code>` },
          { title: "Value", cell: value },
          { title: "Set by", cell: (config) => SOURCES[config.source] ?? config.source },
          { title: "Default", cell: (config) => config.default ? html`<code>${config.default}</code>` : "" },
        ]} />`}
  `;
}
