// The console: chooses the page by the part of the address after #, and shows the frame around it.

import { render } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { useRead, useRunning } from "./api.js";
import { Broker, Brokers } from "./brokers.js";
import { Group, Groups } from "./groups.js";
import { Overview } from "./overview.js";
import { Loaded, html } from "./parts.js";
import { Topic, Topics } from "./topics.js";

const PAGES = [["", "Overview"], ["topics", "Topics"], ["groups", "Groups"], ["brokers", "Brokers"]];

const parse = () => location.hash.replace(/^#\/?/, "").split("/").map(decode);

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function page([kind, name], node) {
  switch (kind) {
    case "": return html`<${Overview} node=${node} />`;
    case "topics": return name ? html`<${Topic} key=${name} name=${name} />` : html`<${Topics} />`;
    case "groups": return name ? html`<${Group} key=${name} id=${name} />` : html`<${Groups} />`;
    case "brokers": return name ? html`<${Broker} key=${name} id=${name} />` : html`<${Brokers} />`;
    default: return html`<h1 tabindex="-1">There is no such page</h1><p><a href="#/">Go to the overview</a></p>`;
  }
}

function App() {
  const [path, setPath] = useState(parse);
  const [running, toggle] = useRunning();
  const main = useRef(null);
  const node = useRead("node");
  useEffect(() => {
    const changed = () => setPath(parse());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const first = useRef(true);
  useEffect(() => {
    const [kind, name] = path;
    const title = name || (PAGES.find(([page]) => page === kind)?.[1] ?? "Not found");
    document.title = `${title} – Dohle`;
    // Readers of screens begin at the heading of a page that was followed to.
    if (!first.current) main.current?.querySelector("h1")?.focus();
    first.current = false;
  }, [path]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      main.current?.querySelector("h1")?.focus();
    }}>Skip to the content</a>
    <header>
      <a class="brand" href="#/"><img src="/console/icon.svg" alt="" width="28" height="28" /> Dohle</a>
      <nav aria-label="Pages"><ul>${PAGES.map(([kind, title]) => html`<li key=${kind}>
        <a href="#/${kind}" aria-current=${path[0] === kind ? (path[1] ? "true" : "page") : null}>${title}</a></li>`)}</ul></nav>
      <button type="button" onClick=${toggle} aria-pressed=${!running}>${running ? "Pause updates" : "Updates are paused"}</button>
    </header>
    <main id="main" ref=${main}>
      <${Loaded} state=${node}>${(data) => data.unavailable
        ? html`<h1 tabindex="-1">The console cannot see the cluster</h1><p>${data.unavailable}</p>
            <p><a href="/metrics">The metrics of this node</a></p>`
        : page(path, data)}<//>
    </main>
    <footer>
      ${node.data && html`<span>Node ${node.data.node}, Dohle ${node.data.version}. This page only reads.</span>`}
      <span><a href="/metrics">Metrics</a> <a href="/health/ready">Health</a></span>
    </footer>
  `;
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
