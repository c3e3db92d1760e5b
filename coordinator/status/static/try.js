// Shows a photo to a model, through the gateway of this coordinator, and draws what it
// found. The photo goes nowhere else. All that comes back is shown as text.
"use strict";
{
  const form = document.getElementById("try");
  const file = document.getElementById("photo");
  const drop = document.getElementById("drop");
  const result = document.getElementById("result");
  const canvas = document.getElementById("canvas");
  const said = document.getElementById("said");
  const tones = ["#1d7f4e", "#bb2626", "#2f5fa8", "#96600a", "#7a3fa0", "#0f7480"];
  const most = 16 << 20; // bytes that the gateway takes
  let running;

  const say = (text, bad) => {
    said.textContent = text;
    said.className = bad ? "bad" : "";
  };

  // element makes one with a text.
  const element = (tag, text) => {
    const e = document.createElement(tag);
    e.textContent = text;
    return e;
  };

  // found reads the objects of the output that has labels.
  const found = (answer) => {
    for (const out of answer.outputs || []) {
      if (out.name !== "detections" && out.name !== "classes") continue;
      return (out.data || []).flatMap((text) => {
        try {
          return [JSON.parse(text)];
        } catch {
          return [];
        }
      });
    }
    return [];
  };

  const draw = (image, objects) => {
    canvas.width = image.width;
    canvas.height = image.height;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    const unit = Math.max(image.width, image.height) / 400;
    pen.lineWidth = 2 * unit;
    pen.font = `600 ${11 * unit}px system-ui, sans-serif`;
    objects.forEach((o, i) => {
      if (!Array.isArray(o.box) || o.box.length !== 4) return;
      const [x, y, right, bottom] = o.box.map(Number);
      const text = `${String(o.label).slice(0, 40)} ${Math.round(100 * o.score)} %`;
      const high = 15 * unit;
      const top = y - high > 0 ? y - high : y;
      pen.strokeStyle = pen.fillStyle = tones[i % tones.length];
      pen.strokeRect(x, y, right - x, bottom - y);
      pen.fillRect(x - pen.lineWidth / 2, top, pen.measureText(text).width + 6 * unit, high);
      pen.fillStyle = "#fff";
      pen.fillText(text, x + 2 * unit, top + 11.5 * unit);
    });
  };

  // split shows where the time went, by the headers Server-Timing of agent and gateway.
  const split = (header, all) => {
    const rows = document.getElementById("times");
    rows.replaceChildren();
    const times = {};
    for (const [, name, ms] of (header || "").matchAll(/([a-z]+);dur=([0-9.]+)/g)) times[name] = Number(ms);
    const words = { queue: "waiting", decode: "decoding", infer: "inference", post: "reading the output" };
    let known = 0;
    const add = (word, ms) => {
      const meter = document.createElement("meter");
      meter.max = all;
      meter.value = ms;
      meter.setAttribute("aria-hidden", "true");
      const cell = element("td", ` ${ms.toFixed(1)} ms`);
      cell.prepend(meter);
      const row = document.createElement("tr");
      const head = element("th", word);
      head.scope = "row";
      row.append(head, cell);
      rows.append(row);
      known += ms;
    };
    for (const name in words) if (name in times) add(words[name], times[name]);
    if ("gateway" in times) add("gateway and way to the agent", Math.max(0, times.gateway - known));
    add("way from here", Math.max(0, all - known));
    add("all of it", all);
  };

  const show = async (photo) => {
    if (!photo) return;
    if (running) running.abort();
    running = new AbortController();
    const mine = running;
    const model = document.getElementById("model").value;
    if (photo.size > most) return say("The photo is larger than 16 MiB. Use a smaller one.", true);
    say(`${model} is looking …`);
    try {
      const image = await createImageBitmap(photo);
      const begin = performance.now();
      const answer = await fetch(`/v2/models/${encodeURIComponent(model)}/infer`, {
        method: "POST", body: photo, signal: mine.signal,
        headers: { "Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream" },
      });
      const text = await answer.text();
      const took = performance.now() - begin;
      const body = JSON.parse(text);
      if (!answer.ok) return say(body.error || `The gateway answered ${answer.status}.`, true);
      const objects = found(body);
      result.hidden = false;
      draw(image, objects);
      const words = objects.map((o) => `${o.label} ${Math.round(100 * o.score)} %`);
      canvas.setAttribute("aria-label", words.length ? "Your photo, with boxes around: " + words.join(", ") : "Your photo");
      const list = document.getElementById("found");
      list.replaceChildren(...words.map((w) => element("li", w)));
      split(answer.headers.get("Server-Timing"), took);
      const h = (name) => answer.headers.get("X-Prime-Spark-" + name) || "?";
      say(`${words.length || "Nothing"} found by ${model} on ${h("Node")} (${h("Backend")}), through ${h("Gateway")}, in ${took.toFixed(0)} ms.`);
    } catch (err) {
      if (mine.signal.aborted) return; // another photo came
      say(err.name === "InvalidStateError" ? "This is no picture that your browser knows. Use a JPEG, PNG or WebP." : "That did not work: " + err.message, true);
    }
  };

  form.hidden = false;
  file.addEventListener("change", () => show(file.files[0]));
  document.getElementById("model").addEventListener("change", () => show(file.files[0]));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (e) => {
      e.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  drop.addEventListener("drop", (e) => {
    if (!e.dataTransfer.files.length) return;
    file.files = e.dataTransfer.files;
    show(file.files[0]);
  });
}
