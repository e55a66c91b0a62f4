;; Writes one line of 100 KB (l), or of 60 MiB (h), to the log.
;;@frame event
;;@use imports/log
;;@memory
(memory (export "memory") 980)
;;@local
(local $bytes i32)
;;@handle
(memory.fill (i32.const 1048576) (i32.const 0x61) (i32.const 100000))
(local.set $bytes (i32.const 100000))
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x68)) (then (local.set $bytes (i32.const 62914560))))
(call $log (i32.const 2) (i32.const 1048576) (local.get $bytes))
