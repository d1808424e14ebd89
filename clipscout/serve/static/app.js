// The page: pick, ask, watch. Every text from the server is set as text, never as markup.

import { Timeline, address as addressText, clock, moment, span } from "/static/timeline.js";

const $ = (id) => document.getElementById(id);
const timeline = new Timeline($("timeline"), (path) => showSegment(path));
let tree = null;
let asking = null;
let listed = [];
let asked = new Map();

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function get(url) {
  const reply = await fetch(url);
  const body = await reply.json();
  if (!reply.ok) throw new Error(body.error ? body.error.message : reply.statusText);
  return body;
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

// The page's address: video, question, options and answer.
function addressOf({ video, question = "", options = [], answer = "" }) {
  const query = new URLSearchParams({ video });
  if (question) query.set("question", question);
  for (const option of options) query.append("option", option);
  if (answer) query.set("answer", answer);
  return `/?${query}`;
}

function link(text, address, kind = "") {
  const made = element("a", text, kind);
  made.href = address;
  made.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(address);
  });
  return made;
}

function go(address) {
  history.pushState(null, "", address);
  showAddress().catch((error) => say(error.message, "error"));
}

const lengthOf = (seconds) => (seconds === null ? "" : ` · ${clock(seconds)}`);

async function listVideos() {
  const found = await get(`/api/videos?text=${encodeURIComponent($("filter").value)}`);
  listed = found.videos;
  $("videos").replaceChildren(...listed.map((video) => {
    const item = document.createElement("li");
    const name = link(video.name, addressOf({ video: video.name }), "name");
    name.dataset.key = video.key;
    item.append(name, element("small", `${video.kind}${lengthOf(video.duration)}`));
    if (video.examples.length) {
      const example = link(video.examples[0].question, addressOf({ video: video.name, ...video.examples[0] }), "example");
      example.tabIndex = -1; // by keyboard: the examples below the question
      item.append(example);
    }
    return item;
  }));
  markVideo();
  $("found").textContent = listed.length === found.count ? `${found.count} found` : `${listed.length} of ${found.count} shown`;
}

function markVideo() {
  for (const name of $("videos").querySelectorAll(".name")) {
    if (tree && name.dataset.key === tree.key) name.setAttribute("aria-current", "true");
    else name.removeAttribute("aria-current");
  }
}

function fill(question, options) {
  $("question").value = question;
  $("options").value = options.join("\n");
}

function example({ question, options }) {
  const button = element("button", question, "link");
  button.type = "button";
  button.addEventListener("click", () => fill(question, options));
  return button;
}

async function openVideo(name) {
  if (asking) asking.abort();
  tree = null;
  say("Opening …");
  try {
    tree = await get(`/api/video?name=${encodeURIComponent(name)}`);
  } catch (error) {
    markVideo();
    say(error.message, "error");
    return false;
  }
  document.title = `${tree.name} · ClipScout`;
  $("tree-title").textContent = tree.name;
  $("shape").textContent = `${clock(tree.duration)}, ${tree.depth} levels of ${tree.width}`;
  $("notes").replaceChildren(...tree.notes.map((note) => element("li", note)));
  $("examples").replaceChildren(element("span", "Examples: "), ...tree.examples.map(example));
  $("examples").hidden = tree.examples.length === 0;
  for (const id of ["answer", "segment", "episode"]) $(id).hidden = true;
  timeline.show(tree);
  asked = new Map();
  markVideo();
  say("Ask a question, or click a segment to look at it.");
  return true;
}

// Whatever the address names: a video, a question about it, and its answer if the server still holds it.
async function showAddress() {
  const query = new URLSearchParams(location.search);
  const answer = query.get("answer");
  let held = null;
  let missing = "";
  if (answer) {
    try {
      held = await get(`/api/answers/${encodeURIComponent(answer)}`);
    } catch (error) {
      missing = error.message;
    }
  }
  const named = query.get("video");
  const video = held ? held.video : named;
  if (!video) return;
  if ((!tree || (tree.key !== video && tree.name !== video) || asking) && !(await openVideo(video))) return;
  if (query.has("question")) fill(query.get("question"), query.getAll("option"));
  if (held) {
    clearEpisode();
    for (const event of held.events) on[event.type]?.(event);
    $("answer").scrollIntoView({ block: "nearest" });
  } else if (missing) {
    say(`${missing[0].toUpperCase()}${missing.slice(1)}.`, "error");
  }
}

async function showSegment(path) {
  const at = tree;
  const base = `/api/videos/${encodeURIComponent(tree.key)}/segments/${path.join("-")}`;
  $("segment").hidden = false;
  const [start, end] = timeline.span(path);
  $("segment-title").textContent = `${addressText(path)} ${span(start, end)}`;
  $("segment-caption").textContent = "…";
  for (const id of ["segment-asked", "segment-frames"]) $(id).replaceChildren();
  $("segment-lines").hidden = true;
  let segment;
  try {
    segment = await get(base);
  } catch (error) {
    $("segment-caption").textContent = error.message;
    return;
  }
  if (at !== tree || timeline.picked.join("-") !== path.join("-")) return;
  $("segment-caption").textContent = segment.known ? segment.caption : "Not captioned yet: no episode has opened it.";
  for (const [query, reply] of asked.get(path.join("-")) || []) {
    $("segment-asked").append(element("p", `Asked: ${query}`, "call"), element("p", reply, "reply"));
  }
  segment.times.forEach((time, number) => {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    image.src = `${base}/frames/${number}.jpg`;
    image.alt = `Frame at ${moment(time, end - start)}`;
    figure.append(image, element("figcaption", moment(time, end - start)));
    $("segment-frames").append(figure);
  });
  if (segment.frames_error) $("segment-frames").append(element("p", segment.frames_error, "error"));
  const lines = segment.lines.map((line) => element("li", `${clock(line.start)} ${line.text}`));
  $("segment-lines").hidden = lines.length === 0;
  $("segment-lines").querySelector("ul").replaceChildren(...lines);
}

function segmentButton(path, text) {
  const button = element("button", text, "link");
  button.type = "button";
  button.addEventListener("click", () => {
    timeline.pick(path);
    $("segment").scrollIntoView({ block: "nearest" });
  });
  return button;
}

const on = {
  begin() {
    say("Reading the top level …");
  },
  overview() {
    say("The top level is read.");
  },
  thinking(event) {
    say(`Turn ${event.turn}: thinking …`);
  },
  turn(event) {
    const item = document.createElement("li");
    if (event.reasoning) item.append(element("p", event.reasoning, "reasoning"));
    if (event.content) item.append(element("p", event.content, "answer"));
    $("turns").append(item);
  },
  opening(event) {
    if (event.path) {
      timeline.mark(event.path, "being opened");
      say(`Opening ${addressText(event.path)} …`);
    }
  },
  opened(event) {
    const key = event.path.join("-");
    const isAsked = event.tool === "video_qa";
    if (isAsked) asked.set(key, [...(asked.get(key) || []), [event.query, event.reply]]);
    timeline.mark(event.path, isAsked || asked.has(key) ? "asked about" : "opened");
    const call = element("p", "", "call");
    call.append(segmentButton(event.path, `${isAsked ? "asked" : "opened"} ${addressText(event.path)} ${span(event.start, event.end)}`));
    if (isAsked) call.append(element("span", ` ${event.query}`));
    // Address and time stand in the line above.
    const reply = isAsked ? event.reply : event.reply.replace(/^[\d:]+-[\d:]+ \[[\d, ]+\] /, "");
    $("turns").lastElementChild.append(call, element("p", reply, "reply"));
  },
  found(event) {
    const call = element("p", `looked up ${event.query}`, "call");
    $("turns").lastElementChild.append(call, element("p", event.reply, "reply"));
  },
  refused(event) {
    if (event.path) timeline.mark(event.path, null);
    $("turns").lastElementChild.append(element("p", event.reply, "reply refused"));
  },
  answer(event) {
    const text = event.text || `No answer: ${event.status.replaceAll("_", " ")}${event.error ? ` (${event.error})` : ""}`;
    const id = event.id.split("/").pop();
    const address = addressOf({ video: tree.name, question: event.question, options: event.options, answer: id });
    $("answer").hidden = false;
    $("answer-question").textContent = event.question;
    $("answer-text").textContent = text;
    $("answer-text").className = event.text ? "" : "error";
    $("answer-address").href = address;
    $("cost").textContent = costs(event.cost);
    const all = event.cost.exhaustive;
    const more = all.captions_to_make ? `, ${all.captions_to_make} captions still to be written` : "";
    $("exhaustive").textContent = `Reading every leaf: ${all.visits} visits, about ${all.prompt_tokens} tokens of captions${more}.`;
    $("evidence").replaceChildren(...event.evidence.map((each) => {
      const item = document.createElement("li");
      item.append(segmentButton(each.path, `${addressText(each.path)} ${span(each.start, each.end)}`));
      return item;
    }));
    remember(id, event.question, text, address);
    if (location.pathname + location.search !== address) history.pushState(null, "", address);
    say(event.text ? "Answered." : "The episode ended without an answer.");
  },
  error(event) {
    say(event.message, "error");
  },
};

// Answers of this page, the newest first; each once, whether it was just given or opened by its address.
function remember(id, question, text, address) {
  $("earlier").hidden = false;
  document.getElementById(`earlier-${id}`)?.remove();
  const earlier = document.createElement("li");
  earlier.id = `earlier-${id}`;
  earlier.append(link(question, address), element("span", text));
  $("earlier-list").prepend(earlier);
}

function clearEpisode() {
  timeline.clear();
  asked = new Map();
  $("turns").replaceChildren();
  $("answer").hidden = true;
  $("episode").hidden = false;
  // On a phone what is going on comes first, in the order of reading too.
  if (matchMedia("(max-width: 860px)").matches) $("main").prepend($("stage"));
}

function costs(cost) {
  const vision = cost.vision;
  const parts = [`${cost.visits} visits of ${cost.segments} segments`, `${cost.visit_units} visit units`];
  if (cost.lookups) parts.push(`${cost.lookups} lookup${cost.lookups === 1 ? "" : "s"}`);
  if (cost.prompt_tokens + cost.completion_tokens) parts.push(`${cost.prompt_tokens} + ${cost.completion_tokens} policy tokens`);
  if (vision.requests) parts.push(`${vision.requests} vision request${vision.requests === 1 ? "" : "s"} with ${vision.images || 0} frames`);
  if (cost.usd) parts.push(`${cost.usd.toFixed(4)} USD`);
  return `Cost: ${parts.join(", ")}, ${cost.seconds.toFixed(1)} s.`;
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

async function askQuestion() {
  if (!tree) {
    say("Pick a video first.", "error");
    return;
  }
  asking = new AbortController();
  $("ask").disabled = true;
  $("stop").disabled = false;
  clearEpisode();
  $("stage").scrollIntoView({ block: "nearest" });
  const options = $("options").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const body = JSON.stringify({ video: tree.key, question: $("question").value, options });
  try {
    const headers = { "Content-Type": "application/json" };
    const reply = await fetch("/api/ask", { method: "POST", headers, body, signal: asking.signal });
    if (!reply.ok) throw new Error((await reply.json()).error.message);
    for await (const event of events(reply)) on[event.type]?.(event);
  } catch (error) {
    if (error.name === "AbortError") say("Stopped. What was captioned is kept.");
    else say(error.message, "error");
  } finally {
    asking = null;
    $("ask").disabled = false;
    $("stop").disabled = true;
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  askQuestion();
});
$("stop").addEventListener("click", () => asking?.abort());
let waiting = 0;
$("filter").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => listVideos().catch((error) => say(error.message, "error")), 150);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
window.addEventListener("popstate", () => showAddress().catch((error) => say(error.message, "error")));
listVideos().then(() => {
  // Where there is one video alone, it is the one that is meant.
  if (listed.length === 1 && !location.search) return openVideo(listed[0].key);
  return showAddress();
}).catch((error) => say(error.message, "error"));
