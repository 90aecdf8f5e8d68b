// What needs a script, and that pages can do without: they refresh by themselves, and stay as the reader left them.
"use strict";
(() => {
  const KEY = "rulepush-refresh";
  const button = document.getElementById("refreshing");
  const seconds = Number(document.getElementById("main").dataset.refresh);
  if (!seconds) return;

  let on = true;
  try { on = localStorage.getItem(KEY) !== "off"; } catch { /* not allowed here: on, until the page is left */ }
  const show = () => button.setAttribute("aria-pressed", String(on));
  button.hidden = false;
  show();
  button.addEventListener("click", () => {
    on = !on;
    show();
    try { localStorage.setItem(KEY, on ? "on" : "off"); } catch { /* as above */ }
    if (on) refresh();
  });

  // Whoever types, or selects text, is not disturbed.
  const busy = () => {
    const main = document.getElementById("main");
    const at = document.activeElement;
    if (at && main.contains(at) && at.matches("input, select, textarea")) return true;
    for (const field of main.querySelectorAll("input[type=text], input[type=search], textarea")) {
      if (field.value !== field.defaultValue) return true;
    }
    return !getSelection().isCollapsed;
  };

  // Without times and counts, which change always: a screen reader says the bar again when something else does.
  const words = (bar) => [...bar.querySelectorAll("summary")].map((s) => s.textContent.replace(/\d+\S*/g, "")).join();
  const folds = (root) => [...root.querySelectorAll("details[id]")];

  // What is being read stays where it is, also when an alert comes above it.
  const atTop = (main) => [...main.querySelectorAll("[id]")].find((one) => {
    const box = one.getBoundingClientRect();
    return box.height > 0 && box.top >= 0;
  });

  const replace = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html");
    const main = document.getElementById("main");
    const fresh = next.getElementById("main");
    if (!fresh) return;
    const open = new Map(folds(main).map((fold) => [fold.id, fold.open]));
    for (const fold of folds(fresh)) {
      if (open.has(fold.id)) fold.open = open.get(fold.id);
    }
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const position = focused ? [...main.querySelectorAll("a, summary, button")].indexOf(focused) : -1;
    const read = scrollY > 0 ? atTop(main) : null;
    const top = read?.getBoundingClientRect().top;
    main.replaceChildren(...fresh.childNodes);
    if (position >= 0) main.querySelectorAll("a, summary, button")[position]?.focus({ preventScroll: true });
    const again = read && document.getElementById(read.id);
    if (again) scrollBy(0, again.getBoundingClientRect().top - top);
    const [bar, newBar] = [document.getElementById("troubles"), next.getElementById("troubles")];
    if (newBar) {
      if (words(bar) === words(newBar)) bar.removeAttribute("role");
      else bar.setAttribute("role", "status");
      for (const fold of folds(newBar)) fold.open = document.getElementById(fold.id)?.open ?? false;
      bar.replaceChildren(...newBar.childNodes);
    }
  };

  let asking = false;
  const refresh = async () => {
    if (!on || document.hidden || asking || busy()) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const text = await answer.text();
      if (answer.ok && !busy()) replace(text);
    } catch { /* rulepush cannot be reached: the next attempt may reach it */ } finally {
      asking = false;
    }
  };
  setInterval(refresh, seconds * 1000);
  document.addEventListener("visibilitychange", refresh);
})();
