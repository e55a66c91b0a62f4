;; Makes 10,000 instances of a nested component.
;;@frame event
;;@import
(component $one (core module $one (global i32 (i32.const 1))) (core instance (instantiate $one)))
;;@times 10000 (instance (instantiate $one))
