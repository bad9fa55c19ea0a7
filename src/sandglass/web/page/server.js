// Questions to the server. Every failure becomes an Error with one line for the page.
const RETRIES = 4;

export async function get(path) {
  return read(await reach(path));
}

// A photograph and fields, as the form that the server takes; comes again when the server is busy.
export async function post(path, blob, fields, signal) {
  const form = new FormData();
  form.append("file", blob, "photo");
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  for (let attempt = 0; ; attempt++) {
    const answer = await reach(path, { method: "POST", body: form, signal });
    if (answer.status !== 503 || attempt === RETRIES) return read(answer);
    const seconds = Number(answer.headers.get("Retry-After")) || 1;
    await new Promise((done) => setTimeout(done, 1000 * seconds));
    signal?.throwIfAborted();
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is it still running?");
  }
}

async function read(answer) {
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.error ?? `the server answered ${answer.status}`);
  return data;
}
