;; Emits one event with a payload of 1.5 MiB (s), or of 50 MiB (h).
;;@frame event
;;@core
(data (i32.const 1024) "order.shipped")
;;@memory
(memory (export "memory") 900)
;;@local
(local $bytes i32)
;;@handle
(local.set $bytes (i32.const 1572864))
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x68)) (then (local.set $bytes (i32.const 52428800))))
(call $write_emit (i32.const 4096) (i32.const 1024) (i32.const 13) (i32.const 1048576) (local.get $bytes))
(return (call $emits (i32.const 4096) (i32.const 1)))
