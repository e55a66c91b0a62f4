// UTF-8 for QuickJS, which has neither `TextDecoder` nor `TextEncoder`.

export function textOf(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return decodeURIComponent(escape(binary));
}

export function bytesOf(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (byte) => byte.charCodeAt(0));
}
