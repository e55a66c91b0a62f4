;; Asks for 64 MiB of random bytes at once (o), or for 32 KiB again and again (a).
;;@frame event
;;@use imports/random
;;@handle
(if (i32.eq (call $letter (local.get $event)) (i32.const 0x6f)) (then (call $random (i64.const 67108864) (i32.const 3072))))
(loop $for_ever (call $random (i64.const 32768) (i32.const 3072)) (br $for_ever))
