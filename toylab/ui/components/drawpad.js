// A square to spray points in. The strokes live here; Python is told after each one, and checks them.
const pads = new WeakMap(); // by canvas

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const find = (name) => parentElement.querySelector(name);
  const canvas = find("canvas"), brush = find("input"), count = find("output");
  const { half, limit } = data;
  if (!pads.has(canvas)) pads.set(canvas, { at: [0, 0], keys: false, touched: false });
  const pad = pads.get(canvas);
  // Once touched, the pad knows more than the page, which reruns after each stroke and must not take one back.
  if (!pad.touched) pad.strokes = data.strokes.map((one) => [...one]);
  const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
  const total = () => pad.strokes.reduce((sum, one) => sum + one.length / 2, 0);

  function draw() {
    const pen = canvas.getContext("2d"), size = canvas.width, scale = size / (2 * half);
    pen.clearRect(0, 0, size, size);
    pen.strokeStyle = colour("--st-border-color");
    pen.lineWidth = 2;
    pen.beginPath();
    for (const [x, y] of [[size / 2, 0], [0, size / 2]]) { pen.moveTo(x, y); pen.lineTo(size - x, size - y); }
    pen.stroke();
    pen.fillStyle = colour("--st-text-color");
    pen.globalAlpha = 0.6;
    for (const one of pad.strokes)
      for (let i = 0; i < one.length; i += 2)
        pen.fillRect((one[i] + half) * scale - 2, (half - one[i + 1]) * scale - 2, 4, 4);
    pen.globalAlpha = 1;
    if (pad.keys) {
      pen.strokeStyle = colour("--st-primary-color");
      pen.beginPath();
      pen.arc((pad.at[0] + half) * scale, (half - pad.at[1]) * scale, 2 * brush.value * scale, 0, 7);
      pen.stroke();
    }
    const n = total();
    count.textContent = n.toLocaleString("en") + (n === 1 ? " point" : " points") + (n < limit ? "" : ", the most there is room for");
    find("[name=undo]").disabled = find("[name=clear]").disabled = n === 0;
  }
  function spray([x, y], many) {
    const stroke = pad.strokes.at(-1);
    for (let i = 0, room = limit - total(); i < many && i < room; i++) {
      const far = brush.value * Math.sqrt(-2 * Math.log(1 - Math.random())), angle = 2 * Math.PI * Math.random();
      const point = [x + far * Math.cos(angle), y + far * Math.sin(angle)];
      if (point.every((c) => Math.abs(c) <= half)) stroke.push(...point.map((c) => Math.round(c * 1000) / 1000));
    }
  }
  function tell() {
    pad.touched = true;
    pad.strokes = pad.strokes.filter((one) => one.length);
    // Both ways. A trigger arrives also where the pad is closed at once afterwards, but is sent once, and a page that
    // is asked for the next thing meanwhile may drop it; a state is sent again with whatever is asked next.
    const strokes = pad.strokes.map((one) => [...one]);
    setStateValue("drawing", strokes);
    setTriggerValue("strokes", strokes);
    draw();
  }
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width * 2 - 1) * half, (1 - (event.clientY - box.top) / box.height * 2) * half];
  };
  canvas.onpointerdown = (event) => {
    if (event.button !== 0 || pad.pointer !== undefined) return; // a second finger draws nothing
    canvas.setPointerCapture(event.pointerId);
    [pad.pointer, pad.at, pad.keys] = [event.pointerId, place(event), false];
    pad.touched = true;
    pad.strokes.push([]);
    spray(pad.at, 8);
    draw();
  };
  canvas.onpointermove = (event) => {
    if (event.pointerId !== pad.pointer) return;
    for (const one of event.getCoalescedEvents?.().concat(event) ?? [event]) {
      const to = place(one), way = Math.hypot(to[0] - pad.at[0], to[1] - pad.at[1]);
      const many = Math.floor(way * 30); // as many points along a slow stroke as along a quick one
      for (let i = 1; i <= many; i++) spray([0, 1].map((k) => pad.at[k] + (to[k] - pad.at[k]) * i / many), 1);
      if (many) pad.at = to;
    }
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    if (event.pointerId !== pad.pointer) return;
    pad.pointer = undefined;
    tell();
  };
  canvas.onkeydown = (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    pad.keys = true;
    if (!move) { pad.strokes.push([]); spray(pad.at, 12); return tell(); }
    pad.at = pad.at.map((c, k) => Math.max(-half, Math.min(half, c + move[k] * half / 20)));
    draw();
  };
  canvas.onblur = () => { pad.keys = false; draw(); };
  find("[name=undo]").onclick = () => { pad.strokes.pop(); tell(); };
  find("[name=clear]").onclick = () => { pad.strokes = []; tell(); };
  brush.oninput = draw;
  draw();
}
