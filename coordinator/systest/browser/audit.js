// Gives a list of what keeps people from reading or operating the page: contrast and
// names by WCAG 2.2 AA (1.4.3, 1.4.11, 4.1.2), and marks that screen readers need.
(() => {
  const faults = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.getAttribute("class") ? "." + e.getAttribute("class") : "") + " " + JSON.stringify((e.textContent || "").trim().slice(0, 30));
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const rgba = (text) => {
    const n = text.match(/[\d.]+/g).map(Number);
    return n.length < 4 ? [...n, 1] : n;
  };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  // ground is what is behind an element's text.
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    const page = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reduceRight((below, layer) => over(layer, below), page);
  };
  const opacity = (e) => {
    let o = 1;
    for (let at = e; at; at = at.parentElement) o *= parseFloat(getComputedStyle(at).opacity);
    return o;
  };

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !shown(e) || e.closest("script, noscript, meter, option, svg title, svg desc") || !e.getClientRects().length) continue;
    if (e.getBoundingClientRect().right < 0) continue; // a link that shows once it is stood on
    const style = getComputedStyle(e);
    const behind = ground(e);
    const ink = rgba(e.closest("svg") ? style.fill : style.color);
    ink[3] *= opacity(e);
    const size = parseFloat(style.fontSize);
    const need = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const has = ratio(over(ink, behind), behind);
    if (has < need) faults.push(`contrast ${has.toFixed(2)}, want ${need}: ${name(e)}`);
  }

  for (const e of document.querySelectorAll("input:not([type=hidden]):not([type=file]), select, button, .button")) {
    if (!shown(e)) continue;
    const style = getComputedStyle(e);
    const inside = rgba(style.backgroundColor);
    const edge = parseFloat(style.borderTopWidth) > 0 ? over(rgba(style.borderTopColor), ground(e.parentElement)) : null;
    if (edge && ratio(edge, ground(e.parentElement)) < 3 && ratio(over(inside, ground(e.parentElement)), ground(e.parentElement)) < 3) faults.push(`border too pale: ${name(e)}`);
  }

  const called = (e) =>
    (e.getAttribute("aria-label") || "").trim() ||
    (e.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join(" ").trim() ||
    [...(e.labels || [])].map((l) => l.textContent).join(" ").trim() ||
    (["A", "BUTTON"].includes(e.tagName) ? e.textContent.trim() : "");
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, meter, [role=img]")) {
    if (shown(e) && e.getAttribute("aria-hidden") !== "true" && !called(e)) faults.push(`no name: ${name(e)} ${e.outerHTML.slice(0, 80)}`);
  }
  for (const e of document.querySelectorAll("table")) {
    if (!e.querySelector("th")) faults.push(`no headings: ${name(e)}`);
  }
  for (const e of document.querySelectorAll("[tabindex]")) {
    if (Number(e.getAttribute("tabindex")) > 0) faults.push(`tabindex above 0: ${name(e)}`);
  }
  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (ids.has(e.id)) faults.push(`id twice: ${name(e)}`);
    ids.add(e.id);
  }
  let level = 0;
  for (const e of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (!shown(e)) continue;
    const now = Number(e.tagName[1]);
    if (now > level + 1) faults.push(`heading jumps from ${level} to ${now}: ${name(e)}`);
    level = now;
  }
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if (!document.documentElement.lang) faults.push("no language");
  if (!document.title) faults.push("no title");
  if (!document.querySelector("main")) faults.push("no main");
  return faults;
})()
