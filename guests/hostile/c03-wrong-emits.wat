;; Emits an event with an empty type (e), and one with a type of 300 bytes (l).
;;@frame event
;;@local
(local $bytes i32)
;;@handle
(memory.fill (i32.const 8192) (i32.const 0x61) (i32.const 300))
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x6c)) (then (local.set $bytes (i32.const 300))))
(call $write_emit (i32.const 4096) (i32.const 8192) (local.get $bytes) (i32.const 0) (i32.const 0))
(return (call $emits (i32.const 4096) (i32.const 1)))
