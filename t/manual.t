#!/usr/bin/perl
# The manual pages against what they tell of: keys, commands, options, routes, codes and flags are those of the programs and the
# source, and mandoc and man have nothing to say. Each check is then tried on a page with a fault put in: one that finds nothing
# there proves nothing.
use Test2::V0;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use YAML::PP;

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $scratch = tempdir('battlepass-manual-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my %page = map { basename($_) => slurp("man/" . basename($_)) } glob "$source/man/*.[1-8]";

sub slurp {
    my ($file) = @_;
    open my $in, '<', "$source/$file" or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

# What a command says, both outputs together.
sub said {
    my (@words) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec @words or die "$words[0]: $!";
    }
    local $/ = undef;
    my $text = <$out> // '';
    close $out;
    return $text;
}

# --- pages ---

# A macro line as a reader sees it, arguments in capitals.
sub plain {
    my ($line) = @_;
    my %opens = (Oo => '[', Op => '[');
    my ($macro, $glue, $to_close, $text) = ('', 1, 0, '');
    for my $word (split / /, $line =~ s/^\.It //r =~ s/\\\(dq/"/gr =~ s/\\[:&]//gr) {
        if ($word =~ /^(?:Oc|Ns)$/) {
            $text .= ']' if $word eq 'Oc';
            $glue = $word eq 'Ns';
        } elsif ($word =~ /^[A-Z][a-z]$/) {
            $macro = $word;
            next unless $opens{$word};
            $text .= ($glue ? '' : ' ') . $opens{$word};
            $glue = 1;
            $to_close += $word eq 'Op';
        } else {
            $word = "-$word" if $macro eq 'Fl' && $word =~ /^[\w-]/;
            $word = uc $word if $macro eq 'Ar';
            $text .= ($glue ? '' : ' ') . $word;
            $glue = 0;
        }
    }
    return $text . ']' x $to_close;
}

# The lists of a section: [ [item, first line below it, [items of the list inside]] .. ].
sub items {
    my ($text, $section) = @_;
    my ($part) = "$text.Sh " =~ /^\.Sh \Q$section\E\n(.*?)(?=^\.Sh )/ms or return [];
    my ($depth, @found) = (0);
    for my $chunk (split /^(?=\.)/m, $part) {
        $depth++ if $chunk =~ /^\.Bl /;
        $depth-- if $chunk =~ /^\.El/;
        my ($line, $below) = $chunk =~ /^(\.It .*)\n(.*)/ or next;
        if ($depth > 1) { push @{ $found[-1][2] }, plain($line) }
        else { push @found, [ plain($line), $below, [] ] }
    }
    return \@found;
}

# "what: has this, wanted that" for each name whose values differ, or that is missing on one side.
sub differences {
    my ($what, $has, $wanted) = @_;
    my %names = map { $_ => 1 } keys %$has, keys %$wanted;
    return map { "$what $_: has " . ($has->{$_} // 'nothing') . ', wanted ' . ($wanted->{$_} // 'nothing') }
        grep { ($has->{$_} // "\0") ne ($wanted->{$_} // "\0") } sort keys %names;
}

sub lint {
    my ($name, $text) = @_;
    my $file = "$scratch/$name";
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
    local @ENV{qw(LC_ALL MANROFFSEQ MANWIDTH)} = ('C.UTF-8', '', 80);
    return split /\n/, said('mandoc', '-T', 'lint', '-W', 'warning', $file) . said('sh', '-c', 'man --warnings -E UTF-8 -l -Tutf8 -Z "$1" 2>&1 >/dev/null', 'man', $file);
}

# --- what there is ---

# From --help: long option => its short one and whether it takes a value.
sub options_of {
    my ($help) = @_;
    my %options;
    $options{$2} = ($1 // '-') . ($3 ? ' VALUE' : '') while $help =~ /^  (?:(-\w), |    )?(--[\w-]+)( [A-Z]\S*)?/mg;
    return \%options;
}

# The same from the items of a page.
sub options_in {
    my (@items) = @_;
    my %options;
    for my $item (@items) {
        my ($long) = $item =~ /(--[\w-]+)/ or next;
        my ($short) = $item =~ /(?<!\S)(-\w)(?!\S)/;
        $options{$long} = ($short // '-') . ($item =~ /--[\w-]+ [A-Z]/ ? ' VALUE' : '');
    }
    return \%options;
}

# key => default, range, reload or restart, variable: as battlepassd itself has them.
my %keys = do {
    my ($section, %found) = ('');
    for my $block (split /\n\n/, said("$build/battlepassd", '--sample-config')) {
        $section = $block =~ /^(\w+) \{/m ? "$1." : $section;
        my ($range, $when, $variable, $name, $default) = $block =~ /# Takes (.*?); (\w+); (\w+)\.\n\t?#(\w+) = (.*)/ or next;
        $found{"$section$name"} = "$default; $range; $when; $variable";
    }
    %found;
};

# command => arguments; command => its options.
my $ctl = "$build/battlepassctl";
my %commands = said($ctl, '--help') =~ /^  ((?:[a-z]+ ?)+?)(?: ([^a-z\n].*))?\n      /mg;
my %command_options = map { $_ => options_of(said($ctl, split(/ /, $_), '--help')) } keys %commands;

# "GET /path" => roles, from the contract, which t/openapi.t holds against the table of routes.
my %routes = do {
    my $paths = YAML::PP->new(boolean => 'perl')->load_string(slurp('openapi.yaml'))->{paths};
    map { my $path = $_; map { (uc($_) . " $path" => join ', ', sort @{ $paths->{$path}{$_}{'x-roles'} }) } grep { /^(?:get|put|post)$/ } keys %{ $paths->{$path} } } keys %$paths;
};

# code => status, of the service and of nginx.
my %codes = do {
    my %code_of = slurp('src/base/err.h') =~ /X\((\w+), "(\w+)"/g;
    my %status_of = slurp('src/http/response.c') =~ /\[ERR_(\w+)\] = (\d+),/g;
    my ($map) = slurp('nginx/http.conf.in') =~ /\$battlepass_problem_code \{(.*?)\n\}/s or die 'no table in http.conf.in';
    (reverse($map =~ /^\t(\d+) (\w+);/mg), map { $_ eq 'OK' ? () : ($code_of{$_} => $status_of{$_}) } keys %status_of);
};
my %flags = map { $_ => 1 } slurp('src/service/flags.c') =~ /^\t\[FLAG_\w+\] = \{"(\w+)"/mg;
my %ctl_variables = map { $_ => 1 } join('', map { slurp("src/ctl/" . basename($_)) } glob "$source/src/ctl/*.c") =~ /getenv\("(\w+)"\)/g;

# --- the checks: what is wrong with a page ---

sub conf_faults {
    my ($text) = @_;
    my %unit = (ms => 'milliseconds', s => 'seconds');
    my (%told, @wrong);
    while ($text =~ /^\.It Va (\S+) No = (.*)\n(.*); (reload|restart);\n\.Ev (\S+) \.$/mg) {
        my ($key, $default, $range, $when, $variable) = ($1, $2, lcfirst $3, $4, $5);
        $default =~ s/\\\(dq/"/g;
        my ($suffix) = $key =~ /(?<!_per)_(ms|s)$/;
        push @wrong, "$key: unit" if ($range =~ s/ of (\w+)(?= from )// ? $1 : '') ne ($suffix ? $unit{$suffix} : '');
        push @wrong, "$key: twice" if $told{$key};
        $told{$key} = "$default; $range; $when; $variable";
    }
    return (@wrong, differences('key', \%told, \%keys));
}

sub daemon_faults {
    my ($text) = @_;
    my @items = map { $_->[0] } @{ items($text, 'DESCRIPTION') };
    return differences('option', options_in(@items), options_of(said("$build/battlepassd", '--help')));
}

sub ctl_faults {
    my ($text) = @_;
    my @wrong = differences('option', options_in(map { $_->[0] } @{ items($text, 'DESCRIPTION') }), options_of(said($ctl, '--help')));
    my (%told, %told_flags);
    for my $item (@{ items($text, 'COMMANDS') }) {
        my ($words, undef, $inner) = @$item;
        my ($command) = grep { $words =~ /^\Q$_\E(?: |$)/ } keys %commands;
        $command //= $words;
        $told{$command} = $words =~ s/^\Q$command\E ?//r;
        push @wrong, differences("$command, option", options_in(@$inner), $command_options{$command} // {});
        %told_flags = map { $_ => 1 } grep { !/^-/ } @$inner if $command eq 'flag';
    }
    my %told_variables = map { $_->[0] => 1 } grep { $_->[0] !~ /[a-z ]|_SECTION_KEY$/ } @{ items($text, 'ENVIRONMENT') };
    return (@wrong, differences('command', \%told, { map { $_ => $commands{$_} // '' } keys %commands }),
        differences('flag', \%told_flags, \%flags), differences('variable', \%told_variables, \%ctl_variables));
}

sub api_faults {
    my ($text) = @_;
    my @viewers = qw(admin designer support viewer);
    my %short = (any => [ @viewers, qw(player server) ], 'viewer+' => \@viewers, 'support+' => [qw(admin support)], 'no token' => []);
    my %told = map { my ($route, $below) = @$_; ($route => join ', ', sort map { $short{$_} ? @{ $short{$_} } : $_ } split /, /, $below =~ s/\.$//r) }
        @{ items($text, 'ROUTES') };
    my ($part) = $text =~ /^\.Sh PROBLEMS\n(.*?)^\.Sh /ms;
    my %told_codes;
    while ($part =~ /^\.It (\d+)\n((?:\.Cm .*\n)+)/mg) {
        my ($status, $lines) = ($1, $2);
        $told_codes{$_} = $status for $lines =~ /^\.Cm (\w+)/mg;
    }
    return (differences('route', \%told, \%routes), differences('code', \%told_codes, \%codes));
}

my %faults_of = (
    'battlepass-api.7' => \&api_faults,
    'battlepass.conf.5' => \&conf_faults,
    'battlepassctl.1' => \&ctl_faults,
    'battlepassd.8' => \&daemon_faults,
);

subtest 'what there is was understood' => sub {
    cmp_ok(scalar keys %keys, '>', 40, 'keys');
    cmp_ok(scalar keys %commands, '>', 15, 'commands');
    cmp_ok(scalar(map { keys %$_ } values %command_options), '>', 20, 'their options');
    cmp_ok(scalar keys %routes, '>', 30, 'routes');
    cmp_ok(scalar keys %codes, '>', 40, 'codes');
    cmp_ok(scalar keys %flags, '>', 3, 'flags');
    cmp_ok(scalar keys %ctl_variables, '>', 1, 'variables');
    my %taken;
    for my $file (glob "$source/src/ctl/*.c") {
        $taken{$_} = 1 for basename($file) eq 'main.c' ? () : slurp("src/ctl/" . basename($file)) =~ /\{"(\w+)", (?:required|no)_argument, NULL/g;
    }
    is([ sort keys %{ { map { $_ => 1 } map { keys %$_ } values %command_options } } ], [ sort map { "--$_" } keys %taken ], '--help tells the options that are taken');
    # A file that is not there and an argument too many keep each command from doing anything.
    for my $command (sort keys %commands) {
        for my $option (sort keys %{ $command_options{$command} }) {
            my @value = $command_options{$command}{$option} =~ /VALUE/ ? "$scratch/none" : ();
            my $told = said($ctl, '-c', "$scratch/none.conf", split(/ /, $command), $option, @value, qw(too many arguments));
            unlike($told, qr/unrecognized option|requires an argument|doesn't allow/, "$command takes $option @value");
        }
    }
};

subtest 'the pages' => sub {
    is([ sort keys %page ], [ sort keys %faults_of ], 'are those that are checked');
    my ($installed) = slurp('Makefile.am') =~ /^dist_man_MANS = (.*(?:\\\n.*)*)/m;
    is([ sort split /[\s\\]+/, $installed ], [ map { "man/$_" } sort keys %page ], 'and are installed');
    for my $name (sort keys %page) {
        is([ lint($name, $page{$name}) ], [], "$name: mandoc and man have nothing to say");
        is([ $faults_of{$name}->($page{$name}) ], [], "$name: what it tells is so");
        my %ours = map { /^(.*)\.(\d)$/ ? ("$1 $2" => 1) : () } keys %page;
        is([ grep { /^battlepass/ && !$ours{$_} } $page{$name} =~ /^\.Xr (\S+ \d)/mg ], [], "$name: pages of ours that it points to are there");
    }
};

# page, what is done to it, and how.
my @mutants = (
    [ 'battlepass.conf.5', 'a key is dropped', sub { s/^\.It Va store\.port .*?(?=^\.It )//ms } ],
    [ 'battlepass.conf.5', 'a key is not known', sub { s/Va cache\.ttl_s/Va cache.ttl_x/ } ],
    [ 'battlepass.conf.5', 'another default', sub { s/Va store\.port No = 3306/Va store.port No = 3307/ } ],
    [ 'battlepass.conf.5', 'another default of a text', sub { s/No = \\\(dqserve\\/No = \\(dqrefuse\\/ } ],
    [ 'battlepass.conf.5', 'another range', sub { s/from 1 to 65535; reload/from 1 to 65536; reload/ } ],
    [ 'battlepass.conf.5', 'another unit', sub { s/number of milliseconds from/number of seconds from/ } ],
    [ 'battlepass.conf.5', 'no unit', sub { s/number of milliseconds from/number from/ } ],
    [ 'battlepass.conf.5', 'reload instead of restart', sub { s/; restart;$/; reload;/m } ],
    [ 'battlepass.conf.5', 'another variable', sub { s/^\.Ev BATTLEPASS_AUTH_KEYS/.Ev BATTLEPASS_KEYS/m } ],
    [ 'battlepassctl.1', 'a command is dropped', sub { s/^\.It Ic season list\n.*?(?=^\.It )//ms } ],
    [ 'battlepassctl.1', 'a command is not known', sub { s/Ic season list/Ic season lists/ } ],
    [ 'battlepassctl.1', 'an argument is dropped', sub { s/Ic season import Ar file/Ic season import/ } ],
    [ 'battlepassctl.1', 'an option is not one that may be left out', sub { s/Op Fl -once/Fl -once/ } ],
    [ 'battlepassctl.1', 'an option is not explained', sub { s/^\.It Fl -once\n.*\n//m } ],
    [ 'battlepassctl.1', 'an option takes no value', sub { s/^\.It Fl -ttl Ar seconds/.It Fl -ttl/m } ],
    [ 'battlepassctl.1', 'an option of another command', sub { s/^(\.It Ic cache flush .*)\n/$1 Op Fl -all\n/m } ],
    [ 'battlepassctl.1', 'an option of all commands is dropped', sub { s/^\.It Fl V .*\n.*\n//m } ],
    [ 'battlepassctl.1', 'a flag is dropped', sub { s/^\.It Cm warming\n.*\n//m } ],
    [ 'battlepassctl.1', 'a variable is dropped', sub { s/^\.It Ev BATTLEPASS_SQL_DIR\n//m } ],
    [ 'battlepassd.8', 'an option is dropped', sub { s/^\.It Fl -sample-config\n//m } ],
    [ 'battlepassd.8', 'a short option is another', sub { s/^\.It Fl t , Fl -test/.It Fl T , Fl -test/m } ],
    [ 'battlepassd.8', 'an option is not known', sub { s/^(\.It Fl t , Fl -test)/.It Fl -daemonize\nNo.\n$1/m } ],
    [ 'battlepass-api.7', 'a route is dropped', sub { s/^\.It Li GET \/livez\n//m } ],
    [ 'battlepass-api.7', 'another method', sub { s/^\.It Li PUT /.It Li POST /m } ],
    [ 'battlepass-api.7', 'another path', sub { s/purchase-options/purchase-option/ } ],
    [ 'battlepass-api.7', 'another role', sub { s/^player, support\+\.$/player, viewer+./m } ],
    [ 'battlepass-api.7', 'a code is dropped', sub { s/^\.Cm not_for_sale ,\n//m } ],
    [ 'battlepass-api.7', 'a code has another status', sub { s/^\.It 412$/.It 416/m } ],
    [ 'battlepass.conf.5', 'a list without an end', sub { s/^\.El\n//m } ],
    [ 'battlepassd.8', 'a macro that is none', sub { s/^\.Pp\n/.Ppp\n/m } ],
);

subtest 'pages with a fault' => sub {
    for my $mutant (@mutants) {
        my ($name, $what, $change) = @$mutant;
        my $text = $page{$name};
        $change->() for $text;
        isnt($text, $page{$name}, "$name: $what");
        my @faults = ($faults_of{$name}->($text), lint($name, $text));
        ok(@faults >= 1, "$name: $what: found") and note $faults[0];
    }
};

done_testing;
