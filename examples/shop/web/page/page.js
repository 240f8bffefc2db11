// Shows the orders, and places new ones. It talks to /api, which nginx passes on.

const form = document.querySelector("form");
const state = document.querySelector("#state");
const packed = document.querySelector("#packed");

async function ask(options) {
  const answer = await fetch("/api/orders", options);
  const content = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (content.error) throw new Error(content.error);
  return content;
}

function row({ item, quantity, packed_by }) {
  const row = document.createElement("li");
  row.append(`${quantity} × ${item}`);
  const by = document.createElement("small");
  by.append(`packed by ${packed_by}`);
  row.append(by);
  return row;
}

async function show() {
  try {
    const orders = await ask();
    state.textContent = `${orders.waiting} waiting to be packed. Answered by ${orders.api}.`;
    packed.replaceChildren(...orders.packed.map(row));
  } catch (error) {
    state.textContent = `No orders to show: ${error.message}.`;
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const order = { item: form.item.value, quantity: form.quantity.valueAsNumber };
  try {
    await ask({ method: "POST", body: JSON.stringify(order) });
    await show();
  } catch (error) {
    state.textContent = `Not ordered: ${error.message}.`;
  }
});

show();
setInterval(show, 1000);
