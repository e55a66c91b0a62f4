;; Polls: an empty list (e), 100,000 pollables at once (m), and for ever in a circle (b).
;;@frame event
;;@use imports/streams
;;@memory
(memory (export "memory") 32)
;;@local
(local $pollable i32) (local $n i32)
;;@handle
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x65))
  (then (call $poll (i32.const 4096) (i32.const 0) (i32.const 3072)) (return (call $done))))
(local.set $pollable (call $subscribe (call $get_stdout)))
(loop $fill
  (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $n) (i32.const 4))) (local.get $pollable))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br_if $fill (i32.lt_u (local.get $n) (i32.const 100000))))
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x6d))
  (then (call $poll (i32.const 131072) (i32.const 100000) (i32.const 3072)) (return (call $done))))
(loop $for_ever
  (call $poll (i32.const 131072) (i32.const 1) (i32.const 3072))
  (br $for_ever))
