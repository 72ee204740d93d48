/* What does a passkey need beyond HTML? The browser's own dialog: its options come with the page (or from the form's address),
   its answer goes back in the form. Without this file the forms stay hidden, and codes work. */
(() => {
  "use strict";
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  // What the server asks, with bytes where the browser wants bytes.
  const forCreating = (asked, alone) => ({
    ...asked,
    challenge: bytes(asked.challenge),
    user: { ...asked.user, id: bytes(asked.user.id) },
    excludeCredentials: named(asked.excludeCredentials),
    authenticatorSelection: {
      ...asked.authenticatorSelection,
      residentKey: alone ? "required" : "discouraged",
      requireResidentKey: alone,
      userVerification: alone ? "required" : (asked.authenticatorSelection || {}).userVerification || "preferred",
    },
  });
  const forAsking = (asked) => ({ ...asked, challenge: bytes(asked.challenge), allowCredentials: named(asked.allowCredentials) });

  // What the browser answers, as JSON.
  const answer = (credential) => {
    const response = {};
    for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[part]) response[part] = text(credential.response[part]);
    }
    if (credential.response.getTransports) response.transports = credential.response.getTransports();
    return {
      type: credential.type, id: credential.id, rawId: text(credential.rawId), response,
      authenticatorAttachment: credential.authenticatorAttachment, clientExtensionResults: credential.getClientExtensionResults(),
    };
  };

  const SAID = {
    NotAllowedError: "Nothing came from your device: the dialog was closed, or it took too long.",
    InvalidStateError: "This device already has a passkey for you here.",
    SecurityError: "Passkeys work only at the portal's own address. Open it there and try again.",
    NotSupportedError: "This device cannot make such a passkey. Try it without the tick, or use an app.",
  };

  const options = async (form) => {
    const here = form.querySelector("#passkey-options");
    if (here) return Object.values(JSON.parse(here.textContent))[0].publicKey;
    const found = await fetch(form.action, { headers: { Accept: "application/json" } });
    if (!found.ok) throw new Error(found.status === 429 ? "Too many attempts. Wait a minute, then try again." : "The portal did not answer. Try again.");
    return (await found.json()).request_options.publicKey;
  };

  const ask = async (form) => {
    const asked = await options(form);
    const alone = form.elements.passwordless;
    const credential = form.dataset.passkey === "create"
      ? await navigator.credentials.create({ publicKey: forCreating(asked, !alone || alone.checked) })
      : await navigator.credentials.get({ publicKey: forAsking(asked) });
    form.elements.credential.value = JSON.stringify(answer(credential));
    form.submit();
  };

  if (!window.PublicKeyCredential) return;
  document.querySelectorAll("[data-passkey-without]").forEach((part) => { part.hidden = true; });
  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    const complaint = form.querySelector("[data-passkey-error]");
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      complaint.hidden = true;
      ask(form).catch((error) => {
        complaint.textContent = SAID[error.name] || error.message;
        complaint.hidden = false;
      });
    });
  });
})();
