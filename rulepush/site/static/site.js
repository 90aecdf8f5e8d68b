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

  // The same link has the focus again: it is found by its place in the nearest part that has a name.
  const linksOf = (part) => (part ? [...part.querySelectorAll("a, summary, button")] : []);
  const focusOf = (main) => {
    const focused = document.activeElement;
    if (!focused || focused === main || !main.contains(focused)) return null;
    const home = focused.parentElement.closest("[id]");
    return { home: home.id, place: linksOf(home).indexOf(focused) };
  };

  const replace = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html");
    const main = document.getElementById("main");
    const fresh = next.getElementById("main");
    if (!fresh) return;
    const open = new Map(folds(main).map((fold) => [fold.id, fold.open]));
    for (const fold of folds(fresh)) {
      if (open.has(fold.id)) fold.open = open.get(fold.id);
    }
    const focus = focusOf(main);
    const read = scrollY > 0 ? atTop(main) : null;
    const top = read?.getBoundingClientRect().top;
    main.replaceChildren(...fresh.childNodes);
    if (focus) linksOf(document.getElementById(focus.home))[focus.place]?.focus({ preventScroll: true });
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

// Suggestions while an expression is typed: metrics and functions, labels and their values.
(() => {
  const MOST = 20;
  const NAME = "[a-zA-Z_:][\\w:]*";
  const VALUE = new RegExp(`(${NAME})?\\{(?:[^{}"]|"[^"]*")*?(\\w+)\\s*(?:=~|!~|!=|=)\\s*"([^"]*)$`);
  const LABEL = new RegExp(`(${NAME})?\\{(?:(?:[^{}"]|"[^"]*")*,)?\\s*(\\w*)$`);
  const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\((?:[^()]*,)?\s*(\w*)$/;
  const WORD = new RegExp(`${NAME}$`);
  const asked = new Map();

  // The list that an address of the API answers; asked for once a minute at most.
  const listed = async (url) => {
    const known = asked.get(url);
    if (known && Date.now() - known.at < 60_000) return known.list;
    const list = fetch(url).then((answer) => (answer.ok ? answer.json() : { data: [] })).then((json) => json.data).catch(() => []);
    asked.set(url, { at: Date.now(), list });
    return list;
  };

  const attach = (area) => {
    const api = area.dataset.api;
    const metrics = [...document.querySelectorAll("#metric-names option")].map((option) => [option.value, ""]);
    const words = area.dataset.suggest.split(" ").map((word) => [word, "PromQL"]);
    const list = document.createElement("ul");
    list.className = "suggestions";
    list.id = `${area.id}.suggestions`;
    list.setAttribute("role", "listbox");
    list.hidden = true;
    area.after(list);
    area.setAttribute("aria-autocomplete", "list");
    area.setAttribute("aria-controls", list.id);
    let chosen = -1;
    let turn = 0;

    // What may stand at the caret: [what is typed of it, [name, note] each].
    const candidates = async () => {
      const before = area.value.slice(0, area.selectionStart);
      const of = (metric) => (metric ? `?match[]=${encodeURIComponent(metric)}` : "");
      const plain = (names) => names.filter((name) => name !== "__name__").map((name) => [name, ""]);
      let found = VALUE.exec(before);
      if (found) return [found[3], plain(await listed(`${api}/label/${found[2]}/values${of(found[1])}`))];
      found = LABEL.exec(before);
      if (found) return [found[2], plain(await listed(`${api}/labels${of(found[1])}`))];
      if (/"[^"]*$/.test(before.replace(/"[^"]*"/g, ""))) return ["", []];
      found = GROUPING.exec(before);
      if (found) return [found[1], plain(await listed(`${api}/labels`))];
      found = WORD.exec(before);
      return found ? [found[0], [...metrics, ...words]] : ["", []];
    };

    const close = () => {
      list.hidden = true;
      list.replaceChildren();
      area.removeAttribute("aria-activedescendant");
      chosen = -1;
    };

    const choose = (next) => {
      list.children[chosen]?.setAttribute("aria-selected", "false");
      chosen = (next + list.children.length) % list.children.length;
      const item = list.children[chosen];
      item.setAttribute("aria-selected", "true");
      item.scrollIntoView({ block: "nearest" });
      area.setAttribute("aria-activedescendant", item.id);
    };

    const take = (item) => {
      const at = area.selectionStart;
      area.setRangeText(item.dataset.name, at - Number(item.dataset.typed), at, "end");
      close();
      area.focus();
    };

    const suggest = async () => {
      const mine = ++turn;
      const [typed, all] = await candidates();
      if (mine !== turn || document.activeElement !== area) return;
      const low = typed.toLowerCase();
      const fits = all.filter(([name]) => name !== typed && name.toLowerCase().includes(low));
      fits.sort(([a], [b]) => b.toLowerCase().startsWith(low) - a.toLowerCase().startsWith(low));
      close();
      list.append(...fits.slice(0, MOST).map(([name, note], i) => {
        const item = document.createElement("li");
        item.id = `${list.id}.${i}`;
        item.setAttribute("role", "option");
        item.dataset.name = name;
        item.dataset.typed = typed.length;
        item.textContent = name;
        if (note) item.append(Object.assign(document.createElement("small"), { textContent: note }));
        return item;
      }));
      list.hidden = !list.children.length;
    };

    area.addEventListener("input", suggest);
    area.addEventListener("blur", () => { turn++; close(); });
    list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const item = event.target.closest("li");
      if (item) take(item);
    });
    area.addEventListener("keydown", (event) => {
      const open = !list.hidden;
      if (event.isComposing) return;
      if (open && event.key === "ArrowDown") choose(chosen + 1);
      else if (open && event.key === "ArrowUp") choose(chosen < 0 ? -1 : chosen - 1);
      else if (open && event.key === "Escape") close();
      else if (open && chosen >= 0 && (event.key === "Enter" || event.key === "Tab")) take(list.children[chosen]);
      else if (event.key === "Enter" && !event.shiftKey) area.form.requestSubmit(area.form.querySelector("button")); // it has the tab
      else return;
      event.preventDefault();
    });
  };
  document.querySelectorAll("textarea[data-suggest]").forEach(attach);
})();

// A crosshair over charts: the time under the pointer, or moved by the arrow keys, and the values there.
(() => {
  const MOST = 12;
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
  const clock = (ts) => new Date(ts).toISOString().slice(0, 19).replace("T", " ") + " UTC";

  // The point of a line that is nearest to a time.
  const nearest = (points, ts) => {
    let [low, high] = [0, points.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] <= ts) low = middle; else high = middle;
    }
    return Math.abs(points[low][0] - ts) <= Math.abs(points[high][0] - ts) ? points[low] : points[high];
  };

  const attach = (svg) => {
    if (svg.dataset.chart === "on") return;
    svg.dataset.chart = "on";
    const [start, end] = [Number(svg.dataset.start), Number(svg.dataset.end)];
    const lines = [...svg.querySelectorAll("path[data-points]")]
      .map((path) => ({ name: path.dataset.name, css: path.classList[1], points: JSON.parse(path.dataset.points) }))
      .filter((line) => line.points.length);
    if (!lines.length) return;
    const figure = svg.closest("figure");
    const hair = document.createElementNS("http://www.w3.org/2000/svg", "line");
    hair.setAttribute("class", "crosshair");
    hair.setAttribute("y1", "16");
    hair.setAttribute("y2", String(Number(svg.getAttribute("height")) - 22));
    hair.setAttribute("visibility", "hidden");
    svg.append(hair);
    const box = document.createElement("div");
    box.className = "readout";
    box.setAttribute("role", "status");
    box.hidden = true;
    figure.append(box);
    svg.tabIndex = 0;
    let at = end;

    const hide = () => { hair.setAttribute("visibility", "hidden"); box.hidden = true; };
    const show = (ts) => {
      const near = nearest(lines[0].points, ts)[0];
      at = lines.length === 1 ? near : Math.min(end, Math.max(start, ts));
      const share = (at - start) / (end - start);
      for (const x of ["x1", "x2"]) hair.setAttribute(x, `${100 * share}%`);
      hair.setAttribute("visibility", "visible");
      const step = (end - start) / 100;
      const values = lines
        .map((line) => ({ ...line, point: nearest(line.points, at) }))
        .filter((line) => Math.abs(line.point[0] - at) <= Math.max(step, 1000));
      const rows = values.slice(0, MOST).map((line) => {
        const row = document.createElement("div");
        row.className = line.css;
        row.append(Object.assign(document.createElement("b"), { textContent: number.format(line.point[1]) }), ` ${line.name}`);
        return row;
      });
      const more = values.length > MOST ? [Object.assign(document.createElement("div"), { textContent: `+ ${values.length - MOST}` })] : [];
      box.replaceChildren(Object.assign(document.createElement("div"), { textContent: clock(at) }), ...rows, ...more);
      box.hidden = false;
      box.classList.toggle("left", share > 0.5);
    };
    const follow = (event) => {
      const area = svg.getBoundingClientRect();
      show(start + ((end - start) * (event.clientX - area.left)) / area.width);
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") hide();
      if (!turn) return;
      event.preventDefault();
      const times = lines[0].points.map((point) => point[0]);
      const next = turn > 0 ? times.find((ts) => ts > at) : times.findLast((ts) => ts < at);
      show(next ?? at);
    });
  };
  const all = () => document.querySelectorAll("svg[data-chart]").forEach(attach);
  all();
  // A page that refreshes by itself gets new charts.
  new MutationObserver(all).observe(document.getElementById("main"), { childList: true });
})();
