"use strict";
const find = (id) => document.getElementById(id);

function say(text) { find("said").textContent = text; }

function limit() { return Number(form.dataset.limit); }

async function told(answer) {
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  const detail = body.detail;
  throw new Error(typeof detail === "string" ? detail : `the service answered ${answer.status}`);
}

function send(file, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/uploads?name=" + encodeURIComponent(file.name));
    request.upload.onprogress = (event) => tell(event.loaded);
    request.onload = () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* told below */ }
      if (request.status === 201) resolve(body.id);
      else reject(new Error(body.detail || `the service answered ${request.status}`));
    };
    request.onerror = () => reject(new Error("the connection broke off; try again"));
    request.send(file);
  });
}

const form = find("upload");
if (form) {
  const drop = form.querySelector(".drop");
  const input = find("videos");
  for (const kind of ["dragover", "dragleave", "drop"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") input.files = event.dataTransfer.files;
    });
  const start = async (model, kind, uploads) => {
    const wanted = { kind, model, uploads, window_seconds: Number(find("window")?.value || 0) };
    if (find("threshold")?.value) wanted.threshold = Number(find("threshold").value);
    return told(await fetch("/api/jobs", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify(wanted) }));
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const files = [...input.files];
    const model = find("model").selectedOptions[0];
    const kind = form.dataset.steps === "yes" ? "steps"
      : model.dataset.kind === "detector" ? "detect" : "classify";
    const button = form.querySelector("button[type=submit]");
    const bar = find("sent");
    const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
    button.disabled = true;
    bar.hidden = false;
    let begun = 0;  // jobs of a detector: one a video
    try {
      const uploads = [];
      let before = 0, job;
      if (kind !== "detect" && files.length > Number(form.dataset.most))
        throw new Error(`at most ${form.dataset.most} videos at once, found ${files.length}`);
      for (const file of files)
        if (file.size > limit())
          throw new Error(`${file.name}: larger than the ${Math.round(limit() / 2 ** 20)} MiB that are taken`);
      for (const file of files) {
        say(`Sending ${file.name}`);
        uploads.push(await send(file, (sent) => { bar.value = (before + sent) / total; }));
        before += file.size;
        if (kind === "detect") {
          job = await start(model.value, kind, uploads.splice(0));
          begun += 1;
        }
      }
      job ??= await start(model.value, kind, uploads);
      location.href = begun > 1 ? "/" : "/jobs/" + job.id;
    } catch (error) {
      say(error.message + (begun ? `; the ${begun} before are at work` : ""));
      button.disabled = false;
      bar.hidden = true;
    }
  });
}

const jobs = find("jobs");
if (jobs) {
  const tell = async () => {
    const waiting = [...jobs.querySelectorAll("tr[data-ended=no]")];
    if (!waiting.length) return;
    try {
      const found = new Map((await told(await fetch("/api/jobs"))).jobs.map((job) => [job.id, job]));
      for (const row of waiting) {
        const job = found.get(row.dataset.job);
        if (!job) continue;
        const state = row.querySelector(".state");
        state.textContent = job.state;
        state.className = "state " + job.state;
        row.querySelector(".more").textContent = job.state === "failed" ? job.message
          : job.state === "running" ? `${Math.round(100 * job.progress)} %` : "";
        row.dataset.ended = ["done", "failed", "cancelled"].includes(job.state) ? "yes" : "no";
      }
    } catch { /* the service is away; it may come back */ }
    setTimeout(tell, 2000);
  };
  tell();
}

const follow = find("follow");
if (follow) {
  const source = new EventSource(`/api/jobs/${follow.dataset.job}/events`);
  source.onmessage = (event) => {
    const job = JSON.parse(event.data);
    find("progress").value = job.progress;
    find("state").textContent = job.state;
    find("message").textContent = job.message;
    if (["done", "failed", "cancelled"].includes(job.state)) { source.close(); location.reload(); }
  };
  find("cancel").addEventListener("click", () =>
    fetch(`/api/jobs/${follow.dataset.job}/cancel`, { method: "POST" }));
}

const video = find("video");
if (video)
  for (const button of document.querySelectorAll("button[data-start]"))
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      video.currentTime = Number(button.dataset.start);
      video.scrollIntoView({ block: "nearest" });
      video.play();
    });

const timeline = find("timeline");
if (timeline) {
  const seconds = Number(timeline.dataset.seconds);
  const follow = () => { find("now").style.left = `${100 * video.currentTime / seconds}%`; };
  video.addEventListener("timeupdate", follow);
  video.addEventListener("seeking", follow);
  timeline.addEventListener("click", (event) => {
    const box = timeline.getBoundingClientRect();
    video.currentTime = seconds * (event.clientX - box.left) / box.width;
  });
  timeline.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const marks = [...timeline.querySelectorAll("button:not([hidden])")];
    marks.sort((a, b) => a.dataset.start - b.dataset.start);
    marks[marks.indexOf(document.activeElement) + step]?.focus();
  });
}

const score = find("score");
if (score) {
  const filter = () => {
    find("least").value = score.value;
    const name = find("class").value;
    for (const item of document.querySelectorAll("#timeline button, #events tr[data-class]"))
      item.hidden = (name && item.dataset.class !== name)
        || Number(item.dataset.score) < Number(score.value);
    for (const row of timeline.querySelectorAll(".row"))
      row.hidden = !row.querySelector("button:not([hidden])");
    const rows = [...document.querySelectorAll("#events tr[data-class]")];
    find("shown").textContent =
      `${rows.filter((row) => !row.hidden).length} of ${rows.length} events`;
  };
  score.addEventListener("input", filter);
  find("class").addEventListener("change", filter);
}

const remove = find("delete");
if (remove)
  remove.addEventListener("click", async () => {
    if (!confirm("Delete this job and its files?")) return;
    await fetch(`/api/jobs/${remove.dataset.job}`, { method: "DELETE" });
    location.href = "/";
  });

const cameras = find("live");
if (cameras) {
  let lost = cameras.dataset.away === "yes";
  const tell = async () => {
    try {
      const answer = await fetch("/api/live");
      const found = await told(answer);
      const shown = [...document.querySelectorAll("[data-camera]")];
      const names = shown.map((line) => line.dataset.camera);
      if (lost && Object.keys(found).sort().join() !== names.sort().join()) location.reload();
      for (const line of shown) line.textContent = found[line.dataset.camera]?.line ?? "not there";
      if (lost)  // a picture whose stream broke off does not come back by itself
        for (const image of cameras.querySelectorAll("img"))
          image.src = `${image.src.split("?")[0]}?${Date.now()}`;
      lost = false;
    } catch {
      lost = true;
      for (const line of document.querySelectorAll("[data-camera]"))
        line.textContent = "no answer; trying again";
    }
    setTimeout(tell, 1000);
  };
  tell();
}
