;; Has a type that is 10,000 options deep.
;;@frame event
;;@import
(type $t0 (option u8))
;;@times 10000 (type $t{next} (option $t{n}))
(type $deep (func (param "deep" $t10000)))
