// Follows the fleet: swaps in the part of the page that changed, and says since
// when it is old once the connection is gone.
"use strict";
const live = document.getElementById("live");
const trouble = document.getElementById("trouble");
let heard = new Date();
let stream;

function old(now) {
  trouble.textContent = "No connection since " + heard.toLocaleTimeString() + ". What you see is of then; trying again.";
  trouble.hidden = !now;
  live.classList.toggle("old", now);
}

function hear() {
  heard = new Date();
  old(false);
}

function connect() {
  if (stream) stream.close();
  stream = new EventSource("/page/stream");
  stream.addEventListener("page", (e) => {
    live.innerHTML = e.data; // made by the server, with everything escaped
    hear();
  });
  stream.addEventListener("beat", hear);
  stream.addEventListener("error", () => {
    old(true);
    // The browser tries again by itself unless it was refused.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  });
}

// The server is heard every 15 s at least; a connection that is silent for
// longer is dead without having been told.
setInterval(() => {
  if (Date.now() - heard > 40000) {
    old(true);
    connect();
  }
}, 10000);
connect();
