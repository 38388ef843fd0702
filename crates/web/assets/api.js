// Reads the API, and keeps what was read up to date while the page is visible.

import { useCallback, useEffect, useRef, useState } from "./vendor/hooks.js";

export async function read(path) {
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { headers: { accept: "application/json" } });
  } catch {
    throw new Error("The node does not answer. Is it running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    throw new Error(body?.error?.message ?? `The node answered with status ${response.status}.`);
  }
  return body;
}

export const at = (...parts) => parts.map(encodeURIComponent).join("/");

// Whether pages are kept up to date; the button in the header changes it.
const clock = { running: true, listeners: new Set() };

export function useRunning() {
  const [running, setRunning] = useState(clock.running);
  useEffect(() => {
    clock.listeners.add(setRunning);
    return () => clock.listeners.delete(setRunning);
  }, []);
  const toggle = useCallback(() => {
    clock.running = !clock.running;
    for (const listener of clock.listeners) listener(clock.running);
  }, []);
  return [running, toggle];
}

// Returns { data, error } of a path. With an interval in milliseconds it is read again and again.
export function useRead(path, interval) {
  const [state, setState] = useState({ path: null, data: null, error: null });
  const [running] = useRunning();
  const latest = useRef(path);
  latest.current = path;
  useEffect(() => {
    let timer = null;
    let ended = false;
    const again = async () => {
      if (!document.hidden) {
        try {
          const data = await read(path);
          if (!ended) setState({ path, data, error: null });
        } catch (error) {
          if (!ended) setState((old) => ({ path, data: old.path === path ? old.data : null, error }));
        }
      }
      if (!ended && interval && running) timer = setTimeout(again, interval);
    };
    again();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [path, interval, running]);
  return state.path === path ? state : { data: null, error: null };
}
