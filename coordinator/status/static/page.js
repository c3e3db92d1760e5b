// Follows the fleet: puts each part of the page that changed in its place, and says
// how old it is once the connection is gone.
"use strict";
const trouble = document.getElementById("trouble");
const silence = 12000; // ms; the server is heard every 5 s at least
let heard = Date.now();
let lost = false;
let stream;
// What the page that came shows, of which the first stream sends only what changed since.
let sheet = document.getElementById("live").dataset.sheet;

// place takes elements that the server made, with everything escaped, each in place of
// the one with its id. Who was at a link or a button in there stays at it.
function place(html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  // Rows by themselves come in a table that is not shown.
  const parts = [...fresh.content.children].flatMap((e) => (e.tagName === "TABLE" ? [...e.rows] : [e]));
  for (const part of parts) {
    const old = document.getElementById(part.id);
    if (!old) continue;
    const at = document.activeElement;
    const link = old.contains(at) ? at.getAttribute("href") : null;
    const focusVisible = at.matches(":focus-visible");
    old.replaceWith(part);
    if (link !== null) {
      for (const a of part.querySelectorAll("a")) if (a.getAttribute("href") === link) a.focus({ preventScroll: true, focusVisible });
    }
  }
}

// tell says how old the data is: beside the badge, and loudly when the server is gone.
// The number is not read aloud, or a screen reader would speak each second.
function tell() {
  const age = Math.floor((Date.now() - heard) / 1000);
  const beside = document.querySelector("#lead .age");
  if (beside) beside.textContent = " · data is " + age + " s old";
  if (!lost) return;
  document.getElementById("since").textContent = "Data is " + age + " s old.";
}

function hear() {
  heard = Date.now();
  if (lost) {
    lost = false;
    trouble.hidden = true;
    document.body.classList.remove("old");
  }
  tell();
}

function lose() {
  if (!lost) {
    lost = true;
    trouble.hidden = false;
    document.body.classList.add("old");
  }
  tell();
}

function connect() {
  if (stream) stream.close();
  stream = new EventSource("/page/stream" + (sheet ? "?after=" + sheet : ""));
  sheet = ""; // another stream begins with all of the page
  for (const kind of ["page", "change"]) {
    stream.addEventListener(kind, (e) => {
      place(e.data);
      hear();
    });
  }
  stream.addEventListener("beat", hear);
  stream.addEventListener("error", () => {
    lose();
    // The browser tries again by itself unless it was refused.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

setInterval(() => {
  if (Date.now() - heard > silence && !lost) {
    lose(); // a connection that is dead without having been told
    connect();
  }
  tell();
}, 1000);
connect();
