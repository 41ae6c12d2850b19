// What the page adds where scripts run: a cursor on the raster, points one by one, plain JSON to
// download, tables to sort. Everything else is in the page already.
"use strict";
(() => {
  const parsed = (id) => {
    const element = document.getElementById(id);
    return element === null ? null : JSON.parse(element.textContent);
  };
  const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);

  // The raster: one cursor through all panels, by pointer or by the slider's arrow keys.
  const clock = (figure) => {
    const data = parsed(`data-${figure.dataset.run}`).raster;
    const picture = figure.querySelector("svg.raster");
    const cursor = picture.querySelector(".cursor");
    const slider = figure.querySelector("input");
    const output = figure.querySelector("output");
    const show = (time_ms) => {
      const share = time_ms / data.duration_ms;
      const x = data.left + (data.right - data.left) * share;
      cursor.setAttribute("transform", `translate(${(x - data.left).toFixed(1)} 0)`);
      const bin = Math.min(Math.floor(time_ms / data.bin_ms), data.panels[0].rates_hz.length - 1);
      const rates = data.panels.map((p) => `${p.name} ${p.rates_hz[bin].toLocaleString("en")}/s`);
      output.textContent = `${time_ms} ms: ${rates.join(", ")}`;
      slider.setAttribute("aria-valuetext", output.textContent);
    };
    slider.addEventListener("input", () => show(Number(slider.value)));
    const follow = (event) => {
      const box = picture.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * data.width;
      const share = Math.min(Math.max((x - data.left) / (data.right - data.left), 0), 1);
      slider.value = String(Math.round(share * data.duration_ms));
      show(Number(slider.value));
    };
    picture.addEventListener("pointermove", follow);
    picture.addEventListener("pointerdown", follow);
    if (data.panels.some((panel) => panel.canvas)) {
      const canvas = document.createElement("canvas");
      picture.after(canvas);
      picture.querySelectorAll(".spikes").forEach((path) => path.remove());
      const draw = () => drawSpikes(canvas, data);
      draw();
      for (const query of ["(prefers-color-scheme: dark)", "print"]) {
        window.matchMedia(query).addEventListener("change", draw);
      }
    }
    show(0);
  };

  // Spikes by colour as pairs of half pixels and rows, little-endian whatever the machine.
  const drawSpikes = (canvas, data) => {
    canvas.width = 2 * data.width;
    canvas.height = 2 * Math.ceil(data.height);
    const style = getComputedStyle(document.documentElement);
    const context = canvas.getContext("2d");
    for (const panel of data.panels.filter((p) => p.canvas)) {
      const { top, tall, spikes } = panel.canvas;
      for (const [tint, packed] of Object.entries(spikes)) {
        context.fillStyle = style.getPropertyValue(`--${tint}`);
        const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
        const view = new DataView(bytes.buffer);
        for (let i = 0; i < bytes.length; i += 4) {
          const y = 2 * (top + view.getUint16(i + 2, true) * tall);
          context.fillRect(view.getUint16(i, true) - 1, y, 2, Math.max(2 * tall, 2));
        }
      }
    }
  };

  // A front: the slider goes from point to point by energy, the pointer to the nearest one.
  const steps = (figure) => {
    const slider = figure.querySelector("input");
    const output = figure.querySelector("output");
    const picture = figure.querySelector("svg.spots");
    const place = (path) => path.getAttribute("d").slice(1).split(/[ m]/).slice(0, 2).map(Number);
    const spots = [...picture.querySelectorAll("[data-spot]")]
      .filter((path) => path.textContent)
      .map((path) => ({ path, at: place(path), words: path.textContent }))
      .sort((a, b) => a.at[0] - b.at[0]);
    if (spots.length === 0) {
      slider.parentElement.hidden = true;
      return;
    }
    const ring = svg("circle");
    ring.setAttribute("r", "7");
    ring.setAttribute("class", "total");
    ring.setAttribute("visibility", "hidden");
    picture.append(ring);
    const show = (number) => {
      const spot = spots[number];
      ring.setAttribute("cx", String(spot.at[0]));
      ring.setAttribute("cy", String(spot.at[1]));
      ring.setAttribute("visibility", "visible");
      output.textContent = spot.words;
      slider.setAttribute("aria-valuetext", spot.words);
    };
    slider.max = String(spots.length - 1);
    slider.addEventListener("input", () => show(Number(slider.value)));
    slider.addEventListener("focus", () => show(Number(slider.value)));
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const scale = picture.viewBox.baseVal.width / box.width;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      const far = spots.map((s) => Math.hypot(s.at[0] - x, s.at[1] - y));
      const nearest = far.indexOf(Math.min(...far));
      if (far[nearest] < 25) {
        slider.value = String(nearest);
        show(nearest);
      }
    });
  };

  // The packed download becomes plain JSON: the page holds it anyway.
  const unpack = (link) => {
    const text = JSON.stringify(parsed(link.dataset.json), null, 2);
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = link.download.replace(/\.gz$/, "");
    link.textContent = "result.json";
  };

  // A column's name sorts by it: numbers by value, the rest by text.
  const sortable = (table) => {
    const body = table.tBodies[0];
    const value = (row, column) => row.cells[column].textContent;
    const size = { pJ: 1, nJ: 1e3, uJ: 1e6, mJ: 1e9, J: 1e12 };
    const number = (text) => {
      const [, digits, unit] = text.match(/^(-?[\d.,]+)\s*(\w*)/) ?? [];
      return digits === undefined ? NaN : Number(digits.replaceAll(",", "")) * (size[unit] ?? 1);
    };
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "ascending" : "descending");
        const rows = [...body.rows].sort((a, b) => {
          const [p, q] = [value(a, column), value(b, column)];
          const [x, y] = [number(p), number(q)];
          if (Number.isNaN(x) && Number.isNaN(y)) return p.localeCompare(q) * (down ? 1 : -1);
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
          return (x - y) * (down ? 1 : -1);
        });
        body.append(...rows);
      });
    });
  };

  document.documentElement.classList.add("js");
  document.querySelectorAll("figure.clock").forEach(clock);
  document.querySelectorAll("figure.steps").forEach(steps);
  document.querySelectorAll("a[data-json]").forEach(unpack);
  document.querySelectorAll(".sortable table").forEach(sortable);
  // Print shows what is folded away.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
  document.body.dataset.ready = "1";
})();
