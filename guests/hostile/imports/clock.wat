;; $now and $sleep (nanoseconds, gives a pollable).
;;@import
(import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
  (alias outer 1 $pollable (type $outer))
  (export "pollable" (type $pollable (eq $outer)))
  (export "now" (func (result u64)))
  (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
;;@lower
(core func $now-lowered (canon lower (func $clock "now")))
(core func $sleep-lowered (canon lower (func $clock "subscribe-duration")))
;;@core-import
(import "clock" "now" (func $now (result i64)))
(import "clock" "sleep" (func $sleep (param i64) (result i32)))
;;@core-with
(with "clock" (instance (export "now" (func $now-lowered)) (export "sleep" (func $sleep-lowered))))
