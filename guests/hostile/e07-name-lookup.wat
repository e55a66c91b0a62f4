;; Asks for the address of a host, and traps unless that is denied.
;;@frame event
;;@use imports/lookup
;;@core
(data (i32.const 1024) "example.com")
;;@handle
(call $resolve (call $network) (i32.const 1024) (i32.const 11) (i32.const 3072))
(if (i32.ne (i32.load8_u (i32.const 3072)) (i32.const 1)) (then unreachable))
(if (i32.ne (i32.load8_u (i32.const 3076)) (i32.const 1)) (then unreachable))
