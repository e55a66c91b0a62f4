;; Asks for the address of a host, which is denied, at every depth of a recursion.
;;@frame event
;;@use imports/lookup
;;@core
(data (i32.const 1024) "example.com")
(func $deeper (param $network i32) (result i32)
  (call $resolve (local.get $network) (i32.const 1024) (i32.const 11) (i32.const 3072))
  (i32.add (call $deeper (local.get $network)) (i32.const 1)))
;;@handle
(drop (call $deeper (call $network)))
