;; Makes 10,000 instances of a core module.
;;@frame event
;;@import
(core module $one (global i32 (i32.const 1)))
;;@times 10000 (core instance (instantiate $one))
