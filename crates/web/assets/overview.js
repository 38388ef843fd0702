// The first page: whether all is well, what to do if not, and how much goes on.

import { useEffect, useState } from "./vendor/hooks.js";
import { read, useRead, useRunning } from "./api.js";
import { Chart } from "./chart.js";
import { bytes, counted, number } from "./format.js";
import { Badge, Loaded, Table, html, link } from "./parts.js";

const EVERY = 2000;
const SPAN = 300000;

// Counters of the node since the page was opened; kept when another page is shown.
const history = [];

function useTraffic() {
  const [, redraw] = useState(0);
  const [running] = useRunning();
  useEffect(() => {
    let timer = null;
    let ended = false;
    const sample = async () => {
      try {
        if (!document.hidden) {
          const counters = await read("traffic");
          history.push({ at: Date.now(), ...counters });
          while (history[0].at < Date.now() - SPAN) history.shift();
          if (!ended) redraw((count) => count + 1);
        }
      } catch {
        // The overview itself shows that the node does not answer.
      }
      if (!ended && running) timer = setTimeout(sample, EVERY);
    };
    sample();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [running]);
  const rates = (name) => history.slice(1).map((sample, index) => {
    const before = history[index];
    const seconds = Math.max(0.001, (sample.at - before.at) / 1000);
    // Counters begin again when the node is restarted.
    return { at: sample.at, value: Math.max(0, sample[name] - before[name]) / seconds };
  });
  return { bytesIn: rates("bytesIn"), bytesOut: rates("bytesOut"), recordsIn: rates("recordsIn") };
}

function Traffic({ node }) {
  const { bytesIn, bytesOut, recordsIn } = useTraffic();
  const last = (points) => points.at(-1)?.value ?? 0;
  const rate = (value) => `${bytes(value)}/s`;
  return html`
    <section class="card" aria-labelledby="traffic">
      <h2 id="traffic">Traffic of broker ${node}</h2>
      <p class="legend">
        <span class="key in">Written by producers <strong>${rate(last(bytesIn))}</strong></span>
        <span class="key out">Read by consumers <strong>${rate(last(bytesOut))}</strong></span>
        <span>Messages written <strong>${number(Math.round(last(recordsIn)))}/s</strong></span>
      </p>
      <${Chart} label="Bytes per second that producers wrote to and consumers read from broker ${node}" format=${rate} floor=${100} span=${SPAN}
        series=${[{ className: "in", points: bytesIn }, { className: "out", points: bytesOut }]} />
      <p class="muted small">Partitions that other brokers lead are in the charts of their own consoles.</p>
    </section>
  `;
}

function Health({ problems, authorizer }) {
  if (problems.length === 0 && authorizer) {
    return html`<div class="notice" role="status"><strong>Nothing wrong is seen.</strong> This cluster has an authorizer, and
      this page shows only what the user <code>User:ANONYMOUS</code> may describe.</div>`;
  }
  if (problems.length === 0) {
    return html`<div class="notice good" role="status"><strong>All is well.</strong> All brokers are in service, and all
      copies of all partitions are in sync.</div>`;
  }
  return html`<section aria-labelledby="problems">
    <h2 id="problems">What is wrong, and what to do</h2>
    <ul class="problems">${problems.map((problem) => html`<li key=${problem.title} class="notice ${problem.severity}">
      <h3><${Badge} kind=${problem.severity}>${problem.severity === "critical" ? "Critical" : "Warning"}<//> ${problem.title}</h3>
      <p>${problem.detail}</p>
      <p><strong>What to do:</strong> ${problem.action}</p>
    </li>`)}</ul>
  </section>`;
}

function Voters({ quorum }) {
  const end = quorum.voters.find((voter) => voter.id === quorum.leaderId)?.logEndOffset;
  return html`<section class="card" aria-labelledby="controllers">
    <h2 id="controllers">Controllers</h2>
    <p class="muted">They keep the cluster's metadata. More than half of them must run.</p>
    <${Table} caption="Controllers" rows=${quorum.voters} id=${(voter) => voter.id} columns=${[
      { title: "Controller", cell: (voter) => voter.id },
      { title: "Role", cell: (voter) => voter.id === quorum.leaderId ? html`<${Badge} kind="good">active<//>` : "follows" },
      { title: "Entries behind", numeric: true, cell: (voter) => end === undefined ? "–" : number(Math.max(0, end - voter.logEndOffset)) },
    ]} />
  </section>`;
}

function Figure({ href, value, label, note }) {
  return html`<li class="figure"><a href=${href}><span class="value">${value}</span> <span>${label}</span></a>
    ${note && html`<span class="muted small">${note}</span>`}</li>`;
}

export function Overview({ node }) {
  const state = useRead("overview", 5000);
  return html`
    <h1 tabindex="-1">Overview</h1>
    <${Loaded} state=${state}>${(data) => {
      const live = data.brokers.filter((broker) => !broker.fenced).length;
      return html`
        <p class="muted">Cluster <code>${data.clusterId}</code></p>
        <${Health} problems=${data.problems} authorizer=${node.authorizer} />
        <ul class="figures">
          <${Figure} href="#/brokers" value=${`${live} of ${data.brokers.length}`} label="brokers in service" />
          <${Figure} href="#/topics" value=${number(data.topics)} label=${data.topics === 1 ? "topic" : "topics"}
            note=${counted(data.partitions, "partition")} />
        </ul>
        <${Traffic} node=${node.node} />
        ${data.quorum && html`<${Voters} quorum=${data.quorum} />`}
        ${data.topics === 0 && !node.authorizer && html`<section class="card" aria-labelledby="begin"><h2 id="begin">Begin</h2>
          <p>There is no topic yet. A topic is a named log that programs write messages to and read them from. Write one
            message from a terminal:</p>
          <pre><code>echo hello | kcat -b ${data.brokers[0]?.host}:${data.brokers[0]?.port} -t greetings -P</code></pre>
          <p>Then look at <a href=${link("topics", "greetings")}>the topic greetings</a>.</p></section>`}
      `;
    }}<//>
  `;
}
