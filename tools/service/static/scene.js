"use strict";
// Zones and lines of a scene file over a frame. `find`, `say` and `told` are page.js's.
const root = find("scene"), view = find("view"), image = find("frame"), svg = find("shapes");
const handles = { point: [], edge: [] };
const LEAST_EDGE = 44;  // pixels of the screen that an edge needs for its +
let cameras = {};       // by name: a list of { kind, name, points, was }
let sizes = {};         // by name: [height, width] where the file says it
let digest = "", saved = "";
let camera = find("camera").value, chosen = 0, point = 0;
let size = [1600, 900];  // width, height of the frame in pixels
let drag = null, past = [], lastKey = null;
let problem = { place: [], detail: "" };

const shapes = () => cameras[camera];
const shape = () => shapes()[chosen];
const shade = (number) => `hsl(${(number * 137.5 + 205) % 360} 75% 42%)`;
const now = () => JSON.stringify(cameras);
const tidy = (share) => Math.round(Math.min(1, Math.max(0, share)) * 1e4) / 1e4;

function tell(text, bad = false) {
  say(text);
  find("said").classList.toggle("bad", bad);
}

function take(found) {
  digest = found.digest;
  cameras = {};
  for (const [name, one] of Object.entries(found.cameras)) {
    sizes[name] = one.size;
    cameras[name] = ["zones", "lines"].flatMap((kind) =>
      one[kind].map((each) => ({ kind, ...each, was: each.name })));
  }
  for (const rule of found.rules) {
    const names = [...rule.zones, ...(rule.line ? [rule.line] : [])];
    document.querySelector(`[data-rule="${CSS.escape(rule.name)}"] .named`).textContent =
      names.join(", ") || "the whole frame";
  }
  saved = now();
  past = [];
  problem = { place: [], detail: "" };
}

// Keep what is there for Undo; several strokes of one key are taken back together.
function remember(before = now(), key = null) {
  if (key === null || key !== lastKey) past.push({ before, camera, chosen, point });
  lastKey = key;
  tell("");
}

function undo() {
  const last = past.pop();
  if (!last) return;
  cameras = JSON.parse(last.before);
  ({ camera, chosen, point } = last);
  find("camera").value = camera;
  lastKey = null;
  tell("");
  drawList();
}

function put(kind, places) {
  const found = handles[kind];
  while (found.length > places.length) found.pop().remove();
  while (found.length < places.length) {
    const handle = document.createElement("button");
    handle.type = "button";
    handle.className = kind;
    handle.textContent = kind === "edge" ? "+" : "";
    find("points").append(handle);
    found.push(handle);
  }
  places.forEach(({ at, x, y, label }, number) => {
    const handle = found[number];
    handle.dataset.at = at;
    handle.style.left = `${100 * x}%`;
    handle.style.top = `${100 * y}%`;
    handle.style.setProperty("--shade", shade(chosen));
    handle.setAttribute("aria-label", label);
    handle.classList.toggle("chosen", kind === "point" && at === point);
  });
}

function arrow([[x1, y1], [x2, y2]]) {
  const length = Math.max(Math.hypot(x2 - x1, y2 - y1), 1);
  const reach = Math.min(0.1 * size[0], 0.5 * length);
  const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];  // along; (-dy, dx) is its right
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const [tx, ty] = [mx - dy * reach, my + dx * reach];
  const barb = (turn) =>
    `${tx + 0.3 * reach * (dy + turn * dx)} ${ty + 0.3 * reach * (-dx + turn * dy)}`;
  return `M${mx} ${my}L${tx} ${ty}M${barb(1)}L${tx} ${ty}L${barb(-1)}`;
}

function draw() {
  svg.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.innerHTML = shapes().map(({ kind, points }, number) => {
    const corners = points.map(([x, y]) => [x * size[0], y * size[1]]);
    const path = `M${corners.map((one) => one.join(" ")).join("L")}`;
    const marks = `data-shape="${number}" stroke="${shade(number)}"`;
    const state = number === chosen ? "shape chosen" : "shape";
    if (kind === "zones") return `<path class="${state}" ${marks} fill="${shade(number)}" d="${path}Z"/>`;
    return `<path class="${state} line" ${marks} d="${path}${arrow(corners)}"/>`
      + `<path class="grip" data-shape="${number}" d="${path}"/>`;
  }).join("");
  find("labels").replaceChildren(...shapes().map(({ name, points }) => {
    const label = document.createElement("span");
    const mean = (side) => points.reduce((sum, one) => sum + one[side], 0) / points.length;
    label.textContent = name;
    label.style.left = `${100 * mean(0)}%`;
    label.style.top = `${100 * mean(1)}%`;
    return label;
  }));
  const one = shape(), points = one?.points ?? [];
  put("point", points.map(([x, y], at) => ({ at, x, y,
    label: `point ${at + 1} of ${one.name}: ${x}, ${y}` })));
  const scale = [view.clientWidth, view.clientHeight];
  put("edge", one?.kind !== "zones" ? [] : points.flatMap(([x, y], at) => {
    const [u, v] = points[(at + 1) % points.length];
    if (Math.hypot((u - x) * scale[0], (v - y) * scale[1]) < LEAST_EDGE) return [];
    return [{ at, x: (x + u) / 2, y: (y + v) / 2, label: `add a point after point ${at + 1}` }];
  }));
  find("more").disabled = one?.kind !== "zones";
  find("less").disabled = one?.kind !== "zones" || points.length < 4;
  find("turn").disabled = one?.kind !== "lines";
  find("undo").disabled = !past.length;
  find("save").disabled = now() === saved;
  [...find("list").children].forEach((row, number) => {
    const pick = row.querySelector(".pick");
    pick.setAttribute("aria-pressed", number === chosen);
  });
}

function drawList() {
  chosen = Math.max(0, Math.min(chosen, shapes().length - 1));
  point = Math.max(0, Math.min(point, (shape()?.points.length ?? 1) - 1));
  if (now() === saved) problem = { place: [], detail: "" };
  const [top, inCamera, kind, bad] = problem.place;
  find("list").replaceChildren(...shapes().map((one, number) => {
    const row = document.createElement("li");
    const make = (tag, kind, text) => {
      const made = document.createElement(tag);
      made.className = kind;
      made.textContent = text;
      row.append(made);
      return made;
    };
    row.style.setProperty("--shade", shade(number));
    const pick = make("button", "pick", one.kind === "zones" ? "Zone" : "Line");
    pick.type = "button";
    pick.addEventListener("click", () => choose(number));
    const name = make("input", "", "");
    name.value = one.name;
    name.maxLength = 200;
    name.setAttribute("aria-label", "Name");
    name.addEventListener("focus", () => choose(number));
    name.addEventListener("input", () => {
      remember(now(), `name of ${camera} ${number}`);
      shapes()[number].name = name.value;
      draw();
    });
    const gone = make("button", "gone", "Delete");
    gone.type = "button";
    gone.addEventListener("click", () => {
      remember();
      shapes().splice(number, 1);
      drawList();
    });
    const wrong = make("p", "problem", "");
    if (top === "cameras" && inCamera === camera && kind === one.kind && bad === one.name) {
      wrong.textContent = problem.detail;
      name.setAttribute("aria-invalid", "true");
    }
    return row;
  }));
  for (const row of document.querySelectorAll("[data-rule]"))
    row.querySelector(".problem").textContent =
      top === "rules" && row.dataset.rule === inCamera ? problem.detail : "";
  draw();
}

function choose(number, at = 0) {
  if (number !== chosen) point = at;
  chosen = number;
  draw();
}

function add(kind, points) {
  remember();
  const word = kind === "zones" ? "zone" : "line";
  const names = shapes().map((one) => one.name);
  let number = 1;
  while (names.includes(`${word} ${number}`)) number += 1;
  shapes().push({ kind, name: `${word} ${number}`, points, was: null });
  [chosen, point] = [shapes().length - 1, 0];
  drawList();
}

// A point in the middle of the edge behind one.
function insert(at) {
  const points = shape().points, next = points[(at + 1) % points.length];
  points.splice(at + 1, 0, points[at].map((side, axis) => tidy((side + next[axis]) / 2)));
  point = at + 1;
}

function moveTo(x, y) { shape().points[point] = [tidy(x), tidy(y)]; }

function removePoint() {
  if (shape()?.kind !== "zones" || shape().points.length < 4) return;
  remember();
  shape().points.splice(point, 1);
  point %= shape().points.length;
  draw();
  handles.point[point].focus();
}

function addPoint(at) {
  if (shape()?.kind !== "zones") return;
  remember();
  insert(at);
  draw();
  handles.point[point].focus();
}

function spot(event) {
  const box = svg.getBoundingClientRect();
  return [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
}

view.addEventListener("pointerdown", (event) => {
  if (event.button || drag) return;
  const handle = event.target.closest("#points button");
  if (!handle) {
    const hit = event.target.closest("[data-shape]");
    if (hit) choose(Number(hit.dataset.shape));
    return;
  }
  event.preventDefault();
  const before = now(), at = Number(handle.dataset.at);
  if (handle.className.includes("edge")) insert(at);
  else point = at;
  const [x, y] = spot(event), [px, py] = shape().points[point];
  drag = { id: event.pointerId, before, dx: px - x, dy: py - y };
  view.setPointerCapture(event.pointerId);
  draw();
  handles.point[point].focus({ preventScroll: true });
});
view.addEventListener("pointermove", (event) => {
  if (event.pointerId !== drag?.id) return;
  const [x, y] = spot(event);
  moveTo(x + drag.dx, y + drag.dy);
  draw();
});
for (const kind of ["pointerup", "pointercancel"])
  view.addEventListener(kind, (event) => {
    if (event.pointerId !== drag?.id) return;
    const { before } = drag;
    drag = null;
    if (before !== now()) remember(before);
    draw();
  });
view.addEventListener("click", (event) => {  // a + by keyboard
  const handle = event.target.closest("button.edge");
  if (handle && !event.detail) addPoint(Number(handle.dataset.at));
});
view.addEventListener("focusin", (event) => {
  const handle = event.target.closest("button.point");
  if (handle && !drag) { point = Number(handle.dataset.at); draw(); }
});
view.addEventListener("keydown", (event) => {
  if (!event.target.closest("button.point")) return;
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (step) {
    event.preventDefault();
    remember(now(), `${camera} ${chosen} ${point}`);
    const far = event.shiftKey ? 10 : 1, [x, y] = shape().points[point];
    moveTo(x + far * step[0] / size[0], y + far * step[1] / size[1]);
    draw();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    removePoint();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.target.matches("input")) return;
  event.preventDefault();
  undo();
});

find("zone").addEventListener("click", () =>
  add("zones", [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]));
find("line").addEventListener("click", () => add("lines", [[0.5, 0.7], [0.5, 0.3]]));
find("more").addEventListener("click", () => addPoint(point));
find("less").addEventListener("click", removePoint);
find("turn").addEventListener("click", () => { remember(); shape().points.reverse(); draw(); });
find("undo").addEventListener("click", undo);
find("save").addEventListener("click", async () => {
  const before = JSON.parse(saved);
  const wanted = {};
  for (const [name, list] of Object.entries(cameras))
    if (JSON.stringify(list) !== JSON.stringify(before[name])) {
      const of = (kind) => list.filter((one) => one.kind === kind)
        .map(({ name, points, was }) => ({ name, points, was }));
      wanted[name] = { zones: of("zones"), lines: of("lines") };
    }
  find("save").disabled = true;
  try {
    const answer = await fetch(root.dataset.address, {
      method: "PUT", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ digest, cameras: wanted }) });
    if (answer.ok) {
      take(await answer.json());
      tell("Saved.");
    } else {
      const { detail, place } = await answer.json().catch(() => ({}));
      problem = { place: place ?? [], detail: detail ?? `the service answered ${answer.status}` };
      if (problem.place[0] === "cameras" && problem.place[1] !== camera) turnTo(problem.place[1]);
      const below = problem.place.length > 1;
      tell(`Not saved: ${below ? "what is wrong is told below." : problem.detail}`, true);
    }
  } catch {
    tell("Not saved: the service does not answer; try again", true);
  }
  drawList();
});
addEventListener("beforeunload", (event) => { if (now() !== saved) event.preventDefault(); });

function turnTo(name) {
  camera = find("camera").value = name;
  [chosen, point] = [0, 0];
  const shows = (option) => JSON.parse(option.dataset.cameras ?? "[]").includes(camera);
  const options = [...find("source").options];
  if (!shows(find("source").selectedOptions[0]))
    find("source").value = options.find(shows)?.value ?? "";
  showFrame();
  drawList();
}

function noFrame() {
  image.hidden = true;
  size = sizes[camera] ? [...sizes[camera]].reverse() : [1600, 900];
  view.style.aspectRatio = `${size[0]} / ${size[1]}`;
  draw();
}

function showFrame() {
  const source = find("source").selectedOptions[0];
  const timed = source.dataset.timed === "yes";
  find("at").hidden = !timed;
  if (!source.value) {
    image.removeAttribute("src");
    noFrame();
  } else if (timed) image.src = `${source.value}&seconds=${Number(find("second").value) || 0}`;
  else image.src = `${source.value}?at=${Date.now()}`;
}

image.addEventListener("load", () => {
  size = [image.naturalWidth, image.naturalHeight];
  image.hidden = false;
  view.style.aspectRatio = "";
  draw();
});
image.addEventListener("error", async () => {
  noFrame();
  if (image.src.startsWith("data:")) return tell("No frame: this is no picture", true);
  const why = await fetch(image.src).then(told).catch((error) => error.message);
  tell(`No frame: ${why}`, true);
});
find("camera").addEventListener("change", () => turnTo(find("camera").value));
find("source").addEventListener("change", showFrame);
find("second").addEventListener("change", showFrame);
find("own").addEventListener("change", () => {
  const reader = new FileReader();
  reader.onload = () => { image.src = reader.result; };
  if (find("own").files[0]) reader.readAsDataURL(find("own").files[0]);
});

take(await told(await fetch(root.dataset.address)));
turnTo(camera);
new ResizeObserver(draw).observe(view);
