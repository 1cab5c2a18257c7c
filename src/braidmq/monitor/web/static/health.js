// Shows the sentence of health, and follows it.
const shown = document.getElementById("health");
const stream = new EventSource("/api/stream");
stream.addEventListener("net", (event) => {
  shown.textContent = JSON.parse(event.data).health;
});
stream.addEventListener("error", () => {
  shown.textContent = "There is no connection to the monitor.";
});
